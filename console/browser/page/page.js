"use strict";

// Text in the terminal that looks like a link stays text, and the page is never left: only files that the
// console delivers are fetched, without a window of their own.
window.open = (url) => {
  const target = new URL(url || "", location.href);
  if (target.origin === location.origin && target.pathname.startsWith("/download/")) {
    const link = document.createElement("a");
    link.href = target.pathname;
    link.download = "";
    link.click();
  }
  return null;
};

// The browser sends its cookie to every server on this host. The page key, which only pages of this address can
// read, is what the websocket shows besides. It comes behind the #, and leaves the address at once.
const PAGE_KEY = "keydeck-page-key";
if (location.hash.length > 1) {
  localStorage.setItem(PAGE_KEY, location.hash.slice(1));
  history.replaceState(null, "", "/");
}
window.WebSocket = class extends WebSocket {
  constructor(url) {
    super(url, ["keydeck", localStorage.getItem(PAGE_KEY) || "none"]);
  }
};

// The terminal measures its font when it opens, so the font comes first.
const openTerminal = window.onload;
window.onload = async (event) => {
  const terminal = document.getElementById("terminal");
  terminal.dataset.sessionWebsocketUrl = location.origin.replace(/^http/, "ws") + "/ws";
  await document.fonts.load('15px "Roboto Mono"').catch(() => []);
  openTerminal(event);
  const focus = () => terminal.querySelector("textarea").focus();
  focus();
  document.addEventListener("visibilitychange", focus);
};

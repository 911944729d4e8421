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

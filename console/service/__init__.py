"""Keydeck as a service: `keydeck watch`, its duties at their intervals by one host at a time; notices."""

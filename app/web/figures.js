// What pages of figures are made of: tiles, tables that scroll, and verdicts with a light before them.

import { el } from "./dom.js";

export function tile(name, value, note = "") {
  return el("div", { class: "tile" }, el("span", { class: "muted" }, name), el("strong", {}, value, el("small", {}, note)));
}

export function row(first, ...cells) {
  return el("tr", {}, el("th", { scope: "row" }, first), ...cells.map((cell) => el("td", {}, cell)));
}

// `about` says what a table holds to whoever scrolls it with the keyboard.
export function table(names, rows, about) {
  const head = el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col" }, name))));
  return el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": about }, el("table", { class: "figures" }, head, el("tbody", {}, rows)));
}

// `kind` is good, bad or open; anything else has no light.
export function light(kind, text) {
  return el("span", { class: `light ${kind}` }, text);
}

export function when(at) {
  return new Date(at).toLocaleString();
}

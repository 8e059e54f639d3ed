// Elements from data, and numbers as people read them. Text is always set as text: a title can never become markup.

const SVG = "http://www.w3.org/2000/svg";

export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const $ = (id) => document.getElementById(id);

const ICONS = {
  why: "M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17ZM12 11v5.2M12 7.8v.2",
  close: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  like: "M7.5 20V10.4L11.8 3.6c1.5 0 2.3 1 2 2.5L13.2 9.6h5.2c1.2 0 2 1 1.8 2.2l-1.2 6.5c-.2 1-1 1.7-2 1.7ZM3.8 10.4h3.7V20H3.8Z",
  dislike: "M16.5 4v9.6l-4.3 6.8c-1.5 0-2.3-1-2-2.5l.6-3.5H5.6c-1.2 0-2-1-1.8-2.2l1.2-6.5c.2-1 1-1.7 2-1.7ZM20.2 13.6h-3.7V4h3.7Z",
  dismiss: "M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17ZM6.2 6.2l11.6 11.6",
  play: "M7.5 5.2v13.6L18.8 12Z",
  pause: "M8 5.5v13M16 5.5v13",
  skip: "M5.5 5.8v12.4L14.8 12ZM18.2 5.8v12.4",
  spark: "M12 3.5l1.9 6.6 6.6 1.9-6.6 1.9L12 20.5l-1.9-6.6L3.5 12l6.6-1.9Z",
};

export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

export function setButton(button, name, text, { label = text } = {}) {
  button.replaceChildren(icon(name), ...(text ? [el("span", {}, text)] : []));
  button.setAttribute("aria-label", label);
}

export function announce(text) {
  $("announcer").textContent = text;
}

export function notice(text, action) {
  return el("p", { class: "notice" }, el("span", {}, text), action);
}

export function duration(seconds) {
  const total = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, String(total % 60).padStart(2, "0")];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export function span(seconds) {
  const [unit, size] = [["d", 86400], ["h", 3600], ["min", 60]].find(([, length]) => seconds >= length) ?? ["s", 1];
  return `${figure(Math.round((seconds / size) * 10) / 10)} ${unit}`;
}

const AGES = [["year", 365], ["month", 30], ["week", 7], ["day", 1], ["hour", 1 / 24], ["minute", 1 / 1440]];

export function age(uploadedAt, now) {
  const days = (now - uploadedAt) / 86_400_000;
  if (days < 0) return "soon";
  const [unit, size] = AGES.find(([, length]) => days >= length) ?? [null, 0];
  if (!unit) return "just now";
  const count = Math.floor(days / size);
  return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
}

export function percent(share) {
  const value = 100 * share;
  return `${value >= 10 ? value.toFixed(0) : value >= 0.1 ? value.toFixed(1) : value.toPrecision(1)} %`;
}

export function figure(value) {
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

// The operations page: asks for the summary every two seconds and redraws. Stops asking while nobody looks.

import { $, duration, el, figure, notice, percent, span, svg } from "./dom.js";
import { admin, get } from "./api.js";
import { tile, when } from "./figures.js";
import { waterfall } from "./waterfall.js";

const EVERY_MS = 2000;

function ms(value) {
  return value === null ? "–" : value.toFixed(1);
}

function tiles(summary) {
  $("tiles").replaceChildren(
    tile("Pages in the last minute", figure(summary.pages_per_minute)),
    tile("Median page", ms(summary.total_ms.p50), " ms"),
    tile("99th percentile", ms(summary.total_ms.p99), " ms"),
    tile("With something missing", percent(summary.degraded_share)),
    tile("Impressions queued", figure(summary.impressions.queued), summary.impressions.dropped ? ` ${summary.impressions.dropped} lost` : ""),
  );
}

function counts(node, pairs, none) {
  const most = Math.max(...pairs.map(([, count]) => count), 1);
  const total = pairs.reduce((sum, [, count]) => sum + count, 0);
  const lines = pairs.map(([name, count]) => {
    const bar = el("span", { class: "bar-fill" });
    bar.style.setProperty("--share", count / most);
    return el("li", {}, el("span", { class: "bar-name" }, name.replaceAll("_", " ")), el("span", { class: "bar", "aria-hidden": "true" }, bar), el("span", { class: "bar-value" }, `${figure(count)} · ${percent(count / total)}`));
  });
  node.replaceChildren(lines.length ? el("ul", { class: "bars" }, lines) : el("p", { class: "muted quiet" }, none));
}

// The bar is full when the budget is used up.
function freshness(groups) {
  const lines = groups.map((group) => {
    const bar = el("span", { class: group.late ? "bar-fill late" : "bar-fill" });
    bar.style.setProperty("--share", group.age_s === null ? 1 : Math.min(group.age_s / group.budget_s, 1));
    const said = group.age_s === null ? "unknown" : `${span(group.age_s)} of ${span(group.budget_s)}`;
    const name = el("span", { class: "bar-name", title: group.features.join(", ").replaceAll("_", " ") }, `${group.group} · ${figure(group.features.length)}`);
    return el("li", {}, name, el("span", { class: "bar", "aria-hidden": "true" }, bar), el("span", { class: "bar-value" }, group.late ? `late: ${said}` : said));
  });
  return lines.length ? el("ul", { class: "bars ages" }, lines) : el("p", { class: "muted quiet" }, "This service does not say.");
}

// Bars rather than a line: each page is its own measurement.
function latest(values) {
  if (!values.length) return el("p", { class: "muted quiet" }, "No page has been asked for yet.");
  const [width, height, most] = [480, 150, Math.max(...values, 1)];
  const step = width / Math.max(values.length, 40);
  const bars = values.map((value, index) => {
    const tall = Math.max((value / most) * (height - 24), 1.5);
    return svg("rect", { x: width - (values.length - index) * step + 0.5, y: height - tall, width: Math.max(step - 1.5, 1), height: tall, rx: 1.5, class: "column" });
  });
  const top = svg("text", { x: 0, y: 12, class: "axis" }, `${most.toFixed(1)} ms`);
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "columns", role: "img", "aria-label": `Last ${values.length} pages, at most ${most.toFixed(1)} milliseconds` }, top, bars);
}

function flat(facts, prefix = "") {
  return Object.entries(facts).flatMap(([name, value]) => {
    if (value === null || Array.isArray(value)) return [];
    return typeof value === "object" ? flat(value, `${prefix}${name} `) : [[`${prefix}${name}`.replaceAll("_", " "), value]];
  });
}

function release(facts) {
  const pairs = flat(facts).slice(0, 14).map(([name, value]) => [name, name.endsWith(" at") ? when(value) : figure(value)]);
  $("release").replaceChildren(...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

async function refresh() {
  if (document.hidden) return;
  try {
    const summary = await get("/ops/summary");
    $("notices").replaceChildren();
    $("ops-note").textContent = `Up ${duration(summary.uptime_s)} · figures over the last ${figure(summary.num_pages)} pages`;
    tiles(summary);
    $("waterfall").replaceChildren(summary.stages.length ? waterfall(summary.stages, summary.total_ms) : el("p", { class: "muted quiet" }, "No page has been asked for yet."));
    $("latest").replaceChildren(latest(summary.latest_ms));
    counts($("sources"), summary.sources, "Nothing shown yet.");
    counts($("events"), summary.events, "No events since the server started.");
    counts($("reasons"), summary.reasons, "Nothing: every page had all it needs.");
    $("freshness").replaceChildren(freshness(summary.freshness));
    release(summary.release);
  } catch (error) {
    $("notices").replaceChildren(notice(error.message));
  }
}

$("admin").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const facts = await admin(event.submitter.value, $("token").value);
    $("admin-note").textContent = `Now serving ${facts.release_id}.`;
  } catch (error) {
    $("admin-note").textContent = error.message;
  }
});

refresh();
setInterval(refresh, EVERY_MS);

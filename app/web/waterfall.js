// Stages of a request as a waterfall: one line per stage, each beginning where the one before ended.

import { el, percent } from "./dom.js";

// stages: [{ name, p50, p95? }] in milliseconds, in running order. With `whole`, the quantiles of whole pages, stages also have
// p99, budget_ms and share, and the figures stand beside the lines.
export function waterfall(stages, whole = null) {
  const total = stages.reduce((sum, stage) => sum + (stage.p50 ?? 0), 0);
  const scale = Math.max(total, ...running(stages).map(({ begin, stage }) => begin + (stage.p95 ?? stage.p50))) || 1;
  const lines = running(stages).map(({ begin, stage }, index) => {
    const bar = el("span", { class: "fall-bar" });
    const tail = el("span", { class: "fall-tail" });
    for (const [node, length] of [[bar, stage.p50], [tail, stage.p95 ?? stage.p50]]) {
      node.style.setProperty("--begin", begin / scale);
      node.style.setProperty("--length", Math.max(length / scale, 0.003));
      node.style.setProperty("--turn", index);
    }
    return el("li", {}, el("span", { class: "fall-name" }, stage.name.replaceAll("_", " ")), el("span", { class: "fall-track", "aria-hidden": "true" }, tail, bar), whole ? figures(stage) : cell(`${stage.p50.toFixed(2)} ms`));
  });
  const budget_ms = stages.every((stage) => stage.budget_ms) ? stages.reduce((sum, stage) => sum + stage.budget_ms, 0) : null;
  const sum = el("li", { class: "fall-sum" }, el("span", { class: "fall-name" }, "all stages"), el("span", { class: "fall-track" }), whole ? figures({ ...whole, budget_ms, share: 1 }) : cell(`${total.toFixed(2)} ms`));
  return el("ol", { class: whole ? "fall told" : "fall" }, whole ? heads() : null, lines, sum);
}

function heads() {
  const names = ["median", "95 %", "99 %", "budget", "share"].map((name) => cell(name));
  return el("li", { class: "fall-head muted" }, el("span", { class: "fall-name" }, "milliseconds"), el("span"), names);
}

function figures(stage) {
  const over = stage.budget_ms && stage.p99 > stage.budget_ms;
  return [
    cell(stage.p50.toFixed(2), "median"),
    cell(stage.p95.toFixed(2), "95th percentile"),
    cell(stage.p99.toFixed(2), over ? "99th percentile, over budget" : "99th percentile", over ? "fall-ms over" : "fall-ms"),
    cell(stage.budget_ms ? stage.budget_ms.toFixed(2) : "–", "budget of the 99th percentile"),
    cell(percent(stage.share), "share of all pages' time"),
  ];
}

function cell(text, title = "", kind = "fall-ms") {
  return el("span", title ? { class: kind, title } : { class: kind }, text);
}

function running(stages) {
  let begin = 0;
  return stages.map((stage) => {
    const line = { begin, stage };
    begin += stage.p50 ?? 0;
    return line;
  });
}

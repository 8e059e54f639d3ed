// Stages of a request as a waterfall: one line per stage, each beginning where the one before ended.

import { el } from "./dom.js";

// stages: [{ name, p50, p95? }] in milliseconds, in running order.
export function waterfall(stages) {
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
    return el("li", {}, el("span", { class: "fall-name" }, stage.name.replaceAll("_", " ")), el("span", { class: "fall-track", "aria-hidden": "true" }, tail, bar), el("span", { class: "fall-ms" }, `${stage.p50.toFixed(2)} ms`));
  });
  const sum = el("li", { class: "fall-sum" }, el("span", { class: "fall-name" }, "all stages"), el("span", { class: "fall-track" }), el("span", { class: "fall-ms" }, `${total.toFixed(2)} ms`));
  return el("ol", { class: "fall" }, lines, sum);
}

function running(stages) {
  let begin = 0;
  return stages.map((stage) => {
    const line = { begin, stage };
    begin += stage.p50 ?? 0;
    return line;
  });
}

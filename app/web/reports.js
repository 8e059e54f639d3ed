// The reports page: what commands have left, drawn once; asks again when somebody comes back to it.

import { $, el, figure, notice, percent, svg } from "./dom.js";
import { get } from "./api.js";
import { light, row, table, when } from "./figures.js";

const COLUMNS = [["data"], ["snapshot"], ["features", "towers"], ["index", "ranker"], ["release"], ["pointers"]];
const VERDICTS = { pass: ["good", "passed"], fail: ["bad", "failed"], "not measurable": ["open", "not measurable"] };
const MOVES = { drifted: ["bad", "drifted"], "today only": ["open", "moved, today only"], "as ever": ["good", "as ever"] };
const FINDINGS = { fail: ["bad", "fails"], warn: ["open", "warns"] };
const MISSING = {
  lineage: "upnext pipeline lineage live",
  gates: "upnext release gates <release>",
  validation: "upnext data validate",
  drift: "upnext monitor report",
};

function number(value) {
  return value === null || value === undefined ? "–" : figure(value + 0); // no "-0"
}

function lineage(said) {
  const box = (kind) => el("li", { class: "box" }, el("span", { class: "muted" }, kind), el("strong", {}, said.nodes[kind].id || "–"), el("ul", {}, said.nodes[kind].facts.map((fact) => el("li", { class: "muted" }, fact))));
  const columns = COLUMNS.map((kinds) => el("li", {}, el("ul", { class: "boxes" }, kinds.filter((kind) => said.nodes[kind]).map(box))));
  return el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `The way to release ${said.release_id}` }, el("ol", { class: "way" }, columns));
}

function gates(said) {
  const head = `${said.release_id} against ${said.live_id ?? "nothing"}, ${when(said.created_at)}: `;
  const blocking = said.blocking.length ? `${said.blocking.length} in the way` : "may serve";
  const rows = said.gates.map((gate) => row(gate.name.replaceAll("_", " "), light(...(VERDICTS[gate.verdict] ?? ["", gate.verdict])), number(gate.value), number(gate.bound), el("span", { class: "said" }, gate.sentence)));
  return [el("p", { class: "headline" }, head, blocking), table(["gate", "verdict", "value", "bound", ""], rows, "Gates")];
}

function validation(said) {
  const sizes = Object.entries(said.num_rows).map(([name, count]) => `${figure(count)} ${name}`).join(", ");
  const rows = said.findings.map((one) => row(one.what, light(...(FINDINGS[one.severity] ?? ["", one.severity])), one.table, figure(one.num_rows), el("span", { class: "said" }, one.example)));
  return [
    el("p", { class: "headline" }, light(said.ok ? "good" : "bad", said.summary)),
    el("p", { class: "muted" }, `${said.dataset}, snapshot ${said.snapshot_id}: ${sizes}; ${when(said.at)}`),
    rows.length ? table(["finding", "", "table", "rows", "for example"], rows, "Findings") : null,
  ];
}

// Pairs of columns per bin: the share on the days before, then on that day.
function histogram(one) {
  const [width, height, most] = [180, 36, Math.max(...one.expected, ...one.actual, 1e-9)];
  const slot = width / one.labels.length;
  const column = (share, x, kind) => svg("rect", { x, y: height * (1 - share / most), width: Math.max(slot / 2 - 1, 0.5), height: (height * share) / most, class: `column ${kind}` });
  const bins = one.labels.map((label, bin) => svg("g", {}, svg("title", {}, `${label}: ${percent(one.expected[bin])} before, ${percent(one.actual[bin])} that day`), column(one.expected[bin], bin * slot, "before"), column(one.actual[bin], bin * slot + slot / 2 - 0.5, "")));
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "histogram", role: "img", "aria-label": `${one.feature}, ${one.segment}: shares by bin, before and that day` }, bins);
}

function drift(said) {
  const moved = new Map(said.drifted.map((one) => [`${one.feature} ${one.segment}`, one.standing ? "drifted" : "today only"]));
  const days = `${said.from} to ${said.until} against ${said.reference.length} days, ${figure(said.num_tested)} comparisons`;
  const signals = said.signals.map((one) => row(one.signal.replaceAll("_", " "), number(one.value), number(one.expected), one.q === null ? "–" : one.q.toPrecision(2)));
  const features = said.features.map((one) => row(one.feature.replaceAll("_", " "), one.segment, histogram(one), one.psi.toFixed(3), one.limit.toFixed(3), percent(one.missing), light(...MOVES[moved.get(`${one.feature} ${one.segment}`) ?? "as ever"])));
  return [
    el("p", { class: "headline" }, light(said.alert ? "bad" : "good", said.alert?.text ?? "Nothing remarkable.")),
    el("p", { class: "muted" }, days),
    table(["signal", "that day", "expected", "q"], signals, "Signals"),
    table(["feature, nearest its limit first", "segment", "before (pale) and that day", "PSI", "limit", "empty", ""], features, "Features"),
  ];
}

const DRAWN = { lineage, gates, validation, drift };

async function refresh() {
  if (document.hidden) return;
  try {
    const said = await get("/ops/reports/summary");
    $("notices").replaceChildren();
    for (const [name, draw] of Object.entries(DRAWN)) {
      const none = el("p", { class: "muted quiet" }, "Nothing yet: run ", el("code", {}, MISSING[name]), ".");
      $(name).querySelector("div").replaceChildren(...[said[name] ? draw(said[name]) : none].flat().filter(Boolean));
    }
  } catch (error) {
    $("notices").replaceChildren(notice(error.message));
  }
  $("reports").removeAttribute("aria-busy");
}

refresh();
document.addEventListener("visibilitychange", refresh);

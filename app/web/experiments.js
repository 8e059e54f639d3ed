// The experiments page: asks for the summary every few seconds and redraws. Stops asking while nobody looks.

import { $, el, figure, notice, percent, svg } from "./dom.js";
import { get } from "./api.js";
import { light, row, table, tile } from "./figures.js";

const EVERY_MS = 4000;
const SAFETY = { safe: ["good", "safe"], harmed: ["bad", "got worse"], unclear: ["open", "not shown to be safe yet"], unmeasured: ["open", "nothing measured yet"] };

function signed(value, format = figure) {
  return value === null || value === undefined ? "–" : `${value < 0 ? "−" : "+"}${format(Math.abs(value))}`;
}

// Shares as one bar, a part per arm, with what was designed below.
function shares(parts) {
  const total = parts.reduce((sum, part) => sum + part.count, 0) || 1;
  const bar = el("div", { class: "split", "aria-hidden": "true" }, parts.map((part, index) => {
    const piece = el("span", { class: `split-part part-${part.kind ?? index}` });
    piece.style.setProperty("--share", part.count / total);
    return piece;
  }));
  const names = parts.map((part, index) => el("li", {}, el("span", { class: `dot part-${part.kind ?? index}` }), `${part.name} `, el("strong", {}, figure(part.count)), part.note ? ` ${part.note}` : ""));
  return el("div", {}, bar, el("ul", { class: "legend" }, names));
}

// An interval around zero: the line is what the data allow, the dot the best guess.
function interval(mean, low, high, reach) {
  const [width, height] = [220, 22];
  const x = (value) => (width / 2) * (1 + Math.max(-1, Math.min(1, value / reach)));
  const side = low > 0 ? "above" : high < 0 ? "below" : "across";
  const marks = [svg("line", { x1: width / 2, x2: width / 2, y1: 2, y2: height - 2, class: "zero" })];
  if (low !== null && high !== null) marks.push(svg("line", { x1: x(low), x2: x(high), y1: height / 2, y2: height / 2, class: `range ${side}` }));
  marks.push(svg("circle", { cx: x(mean), cy: height / 2, r: 4, class: `guess ${side}` }));
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "interval", "aria-hidden": "true" }, marks);
}

function effects(arm) {
  const relative = (effect, value) => (value === null || !effect.control ? null : value / Math.abs(effect.control));
  const ends = arm.effects.flatMap((e) => [e.always.mean, e.always.low, e.always.high].map((v) => Math.abs(relative(e, v) ?? 0)));
  const reach = Math.min(Math.max(...ends, 0.02), 1);
  const rows = arm.effects.map((effect) => {
    const [mean, low, high] = [effect.always.mean, effect.always.low, effect.always.high].map((value) => relative(effect, value));
    const [kind, said] = effect.safety ? SAFETY[effect.safety] : ["", effect.role];
    const range = low === null || high === null ? "too few viewers yet" : `${signed(low, percent)} … ${signed(high, percent)}`;
    return row(effect.metric.replaceAll("_", " "), figure(effect.control), figure(effect.treatment), signed(mean, percent), mean === null ? null : interval(mean, low, high, reach), range, light(kind, said));
  });
  return table(["", "control", arm.arm, "change", "", "always valid", ""], rows, `Effects of ${arm.arm}`);
}

function split(trial) {
  const { report } = trial;
  const ratio = report.sample_ratio;
  const parts = Object.entries(trial.shares).map(([name, share], index) => ({ name, count: ratio.counts[index], note: `viewers, ${percent(share)} wanted` }));
  const said = [
    light(trial.mismatch ? "bad" : "good", `Viewers per arm ${trial.mismatch ? "do not match" : "match"} the shares (p = ${figure(ratio.p)})`),
    light(report.finished ? "good" : "open", `Day ${report.days.length} of ${trial.planned_days}`),
    report.late ? light("open", `${figure(report.late)} days after the planned end left out`) : null,
    report.mixed ? light("open", `${figure(report.mixed)} seen in two arms, left out`) : null,
  ];
  const lights = el("ul", { class: "lights" }, said.filter(Boolean).map((one) => el("li", {}, one)));
  return [el("p", { class: "headline" }, report.headline), shares(parts), lights, ...report.arms.map(effects)];
}

function duel(trial) {
  const { outcome, always: { mean, low, high }, viewers } = trial.preference;
  const [first, second] = Object.keys(trial.shares);
  const parts = [{ name: `pages prefer ${first}`, count: outcome.wins }, { name: "no preference", count: outcome.ties, kind: "none" }, { name: `prefer ${second}`, count: outcome.losses, kind: 1 }];
  const sure = low !== null && (low > 0 || high < 0);
  const text = sure ? `Viewers prefer '${mean > 0 ? first : second}'.` : `No preference can be told between '${first}' and '${second}' yet.`;
  const range = low === null ? "too few viewers yet" : `${signed(low)} … ${signed(high)}`;
  const drawn = interval(mean, low, high, Math.max(0.05, Math.abs(low ?? 0), Math.abs(high ?? 0)));
  const line = row(`Δ in favour of ${first}`, signed(mean), drawn, range, `${figure(viewers)} viewers, sign test p = ${figure(outcome.sign_p)}`);
  return [el("p", { class: "headline" }, text), shares(parts), table(["", "Δ", "", "always valid", ""], [line], `Preference of ${trial.name}`)];
}

function panel(trial) {
  const where = trial.surfaces.length ? ` on ${trial.surfaces.join(", ").replaceAll("_", " ")}` : "";
  const kind = trial.interleaving ? `both rankings on every page${where}, ${trial.interleaving.replaceAll("_", " ")}` : `viewers split between arms${where}`;
  const body = trial.waits ? [el("p", { class: "muted quiet" }, `Waiting: ${trial.waits}.`)] : trial.preference ? duel(trial) : split(trial);
  return el("article", { class: "panel" }, el("h2", {}, trial.name), el("p", { class: "muted" }, kind), ...body);
}

// What chance has filled, arm by arm; the price is in clicks, so below zero it earned some.
function explored(arms) {
  const rate = (value) => (value === null ? "–" : percent(value));
  const rows = arms.map((arm) => {
    const { mean, low, high } = arm.price;
    const price = mean === null ? "nothing to compare with" : `${signed(mean, percent)}${low === null ? "" : ` [${signed(low, percent)}, ${signed(high, percent)}]`}`;
    const slots = `${percent(arm.share)} of ${figure(arm.slots)}`;
    const both = [`${rate(arm.new_explored)} / ${rate(arm.new_others)}`, `${rate(arm.clicks_explored)} / ${rate(arm.clicks_others)}`];
    return row(arm.arm, figure(arm.pages), slots, figure(arm.most_a_day), ...both, price, arm.least_propensity.toPrecision(2));
  });
  return el("article", { class: "panel" }, el("h2", {}, "What chance fills"), el("p", { class: "muted" }, "Slots that exploration decided, and the others. The price is what such a slot loses in clicks against slots of its position that chance left alone; most a day is of one viewer."),
    table(["arm", "pages", "slots by chance", "most a day", "new: chance / others", "clicks: chance / others", "price of a slot", "least propensity"], rows, "What chance fills"));
}

function unseen({ release, slices }) {
  const ms = (p50, p99) => `${figure(Number(p50.toFixed(1)))} / ${figure(Number(p99.toFixed(1)))}`;
  const rows = slices.map((s) => {
    const alike = [s.overlap, s.rbo, s.same, s.score_ks].map((value) => (value === null ? "–" : value.toFixed(3)));
    const times = [ms(s.live_ms_p50, s.live_ms_p99), ms(s.shadow_ms_p50, s.shadow_ms_p99)];
    return row(s.slice.replaceAll("_", " "), figure(s.requests), ...alike, ...times, percent(s.shadow_failed));
  });
  return el("article", { class: "panel" }, el("h2", {}, `In the shadow: ${release}`), el("p", { class: "muted" }, "Answers the same requests after the page has gone out. Says what would change, not what is better: nobody saw these pages."),
    table(["", "requests", "overlap", "rank-biased", "same page", "score KS", "live ms p50 / p99", "shadow ms", "failed"], rows, `Pages of ${release}`));
}

async function refresh() {
  if (document.hidden) return;
  try {
    const said = await get("/ops/experiments/summary");
    $("notices").replaceChildren(...(said.problem ? [notice(said.problem)] : []));
    const running = said.experiments.length;
    $("note").textContent = running ? `${running} running · intervals stay valid however often you look` : "Nothing is tried at the moment: run `upnext experiment example`, or write experiments.toml beside the releases.";
    $("tiles").replaceChildren(...(said.record ? [tile("Held out of everything", percent(said.holdout)), tile("Requests recorded", percent(said.record.share)), tile("Records", figure(said.record.done)), tile("Records dropped", figure(said.record.dropped), said.record.queued ? ` ${said.record.queued} waiting` : ""), tile("Bytes a record", said.record.bytes === null ? "–" : figure(Math.round(said.record.bytes)))] : []));
    $("trials").replaceChildren(...said.experiments.map(panel), ...(said.exploration?.length ? [explored(said.exploration)] : []), ...said.shadow.map(unseen));
  } catch (error) {
    $("notices").replaceChildren(notice(error.message));
  }
  $("experiments").removeAttribute("aria-busy");
}

refresh();
setInterval(refresh, EVERY_MS);

// The features page: what is declared, how old it is, what the newest audit of served values says. Asks again every ten seconds.

import { $, el, figure, notice, span } from "./dom.js";
import { get } from "./api.js";
import { light, row, table, tile, when } from "./figures.js";

const EVERY_MS = 10000;
const ENTITIES = ["viewer", "video", "cross", "context"];

function ages(feature) {
  if (!feature.ages.length) return el("span", { class: "muted" }, feature.is_read ? "not served" : "shelved");
  const said = (one) => `${one.age_s === null ? "unknown" : span(one.age_s)} of ${span(one.budget_s)}`;
  return el("span", { class: "lights" }, feature.ages.map((one) => light(one.late ? "bad" : "good", said(one))));
}

function features(found, entity) {
  const rows = found.map((one) => row(one.name, one.kind, one.window || "–", ages(one), String(one.default), one.owner, el("span", { class: "said" }, one.description)));
  return table(["feature", "kind", "over", "age", "where unknown", "owner", "meaning"], rows, `Features of ${entity}`);
}

function audit(said) {
  if (!said) return el("p", { class: "muted quiet" }, "Nothing yet: run ", el("code", {}, "upnext features skew"), ".");
  const pages = said.fingerprints;
  const wrong = said.alert !== null;
  const facts = `${figure(said.checked)} values of release ${said.release_id}, ${figure(said.pages)} pages (${said.traffic}), ${when(said.audited_at)}: ${figure(pages.equal)} logged pages equal, ${figure(pages.unsettled)} unsettled, ${figure(pages.different)} different; ${figure(said.joins)} point-in-time joins.`;
  const rows = said.differences.map((one) => row(one.feature, figure(one.count), String(one.served), String(one.offline), `viewer ${one.viewer_id}${one.video_id === null ? "" : `, video ${one.video_id}`}`));
  return [
    el("p", { class: "headline" }, light(wrong ? "bad" : "good", wrong ? said.alert.text : "Every served value is what the log says.")),
    el("p", { class: "muted" }, facts),
    rows.length ? table(["feature", "times", "served", "in the log", "for example"], rows, "Differences") : null,
  ];
}

async function refresh() {
  if (document.hidden) return;
  try {
    const said = await get("/ops/features/summary");
    $("notices").replaceChildren();
    $("tiles").replaceChildren(
      tile("Features read", figure(said.features.filter((one) => one.is_read).length)),
      tile("Late", figure(said.features.filter((one) => one.ages.some((age) => age.late)).length)),
      tile("Viewers held", said.viewers_held === null ? "–" : figure(said.viewers_held)),
      tile("Served values that differ", said.audit ? figure(said.audit.mismatches) : "–"),
      tile("Rows that know their future", said.audit ? figure(said.audit.future_rows) : "–"),
    );
    $("audit").querySelector("div").replaceChildren(...[audit(said.audit)].flat().filter(Boolean));
    for (const entity of ENTITIES) $(`of-${entity}`).querySelector("div").replaceChildren(features(said.features.filter((one) => one.entity === entity), entity));
  } catch (error) {
    $("notices").replaceChildren(notice(error.message));
  }
  $("features").removeAttribute("aria-busy");
}

refresh();
setInterval(refresh, EVERY_MS);

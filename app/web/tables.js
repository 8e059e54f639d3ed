// The page of tables and releases: asks for the summary every few seconds and redraws. Stops asking while nobody looks.

import { $, el, figure, notice, percent } from "./dom.js";
import { admin, get } from "./api.js";
import { light, row, table, tile, when } from "./figures.js";

const EVERY_MS = 4000;
const SAFETY = { safe: ["good", "as good as the one before"], harmed: ["bad", "worse"], unclear: ["open", "not clear yet"] };

function mebibytes(bytes) {
  return `${figure(Number((bytes / 2 ** 20).toPrecision(2)))} MiB`;
}

function releases(said) {
  const rows = said.releases.map((one) => {
    const serves = one.release_id === said.live ? light("good", "serves") : one.release_id === said.warm ? light("open", "kept warm") : "";
    return row(one.release_id, when(one.created_at), one.refresh_of ? `refresh of ${one.refresh_of}` : "trained", one.pointers.join(", "), serves);
  });
  $("releases").replaceChildren(table(["release", "made", "how", "pointers", "here"], rows, "Releases"));
}

function moves(list) {
  const rows = list.map((one) => row(when(one.at), one.pointer, one.after ?? "nothing", one.who, one.why));
  $("moves").replaceChildren(rows.length ? table(["when", "pointer", "now names", "who", "why"], rows, "Moves of pointers") : el("p", { class: "muted quiet" }, "No pointer has moved yet."));
}

function sizes(list) {
  const rows = list.map((one) => row(`${one.name}${one.grows ? " ↑" : ""}`, figure(one.rows), figure(one.dim), mebibytes(one.bytes), one.dtype));
  $("sizes").replaceChildren(table(["table", "rows", "numbers in a row", "size", "type"], rows, "Tables in memory"));
}

function guard(found) {
  if (!found) return "Nothing is on probation.";
  const [, said] = SAFETY[found.safety] ?? ["", "too few viewers yet"];
  const clicked = found.clicked ? `, ${percent(found.clicked[1])} of its pages clicked against ${percent(found.clicked[0])}` : "";
  return `${found.release} is on probation: ${said} (${figure(found.viewers[1])} viewers${clicked}).`;
}

function cache(found) {
  if (!found) return "All of them fit, so no cache stands before one.";
  return `${figure(found.rows)} rows of the ranker's videos are in memory, the others in a file; ${percent(found.hit_rate)} of ${figure(found.lookups)} look-ups needed no reading.`;
}

async function refresh() {
  if (document.hidden) return;
  try {
    const said = await get("/ops/tables/summary");
    $("notices").replaceChildren();
    $("note").textContent = guard(said.guard);
    $("tiles").replaceChildren(
      tile("Videos indexed", figure(said.index.vectors ?? 0), ` ${said.index.kind ?? ""}`),
      tile("Beside the index", figure(said.index.beside ?? 0), " to be merged"),
      tile("Uploads since then", figure(said.uploads ?? 0)),
      tile("Taken down", figure(said.removed ?? 0)),
      tile("Tables", ...mebibytes(said.tables.reduce((sum, one) => sum + one.bytes, 0)).split(/(?= )/)),
    );
    $("rollback").disabled = !said.warm && !said.releases.some((one) => one.pointers.includes("previous"));
    $("promote").disabled = !said.releases.some((one) => one.pointers.includes("candidate") && one.release_id !== said.live);
    releases(said);
    moves(said.moves);
    sizes(said.tables);
    $("cache").textContent = cache(said.cache);
  } catch (error) {
    $("notices").replaceChildren(notice(error.message));
  }
  $("tables").removeAttribute("aria-busy");
}

$("admin").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const facts = await admin(event.submitter.value, $("token").value);
    $("admin-note").textContent = `Now serving ${facts.release_id}.`;
    await refresh();
  } catch (error) {
    $("admin-note").textContent = error.message;
  }
});

refresh();
setInterval(refresh, EVERY_MS);

// The page: a mask as text and as a link, the pair under the cursor, and the beginning.

const USUAL = [["block", "128"], ["heads", "8"], ["width", "64"]];

function link() {
  const { view } = canvas, parts = [`mask=${encodeURIComponent(asExpression(state.tree))}`];
  const planes = Object.entries(state.plane).filter(([axis, i]) => i && state.mask.axes.includes(axis));
  for (const [axis, i] of planes) parts.push(`${axis}=${i}`);
  if (view && (view.w < canvas.keys || view.h < canvas.queries)) parts.push(`view=${[view.x, view.y, view.w, view.h].map((x) => Number(x.toFixed(2))).join(",")}`);
  for (const [id, usual] of USUAL) if ($(id).value !== usual) parts.push(`${id}=${encodeURIComponent($(id).value)}`);
  return `#${parts.join("&")}`;
}

const HOW = {
  python: () => "",
  yaml: () => "Read by maskkit.load(path), and by maskkit check.",
  expression: () => (isExpression(state.tree) ? "Read by maskkit.parse(text), and by maskkit render, stats and plan." : "This page reads it; maskkit.parse knows no stack and no direct_sum: take Python or YAML along."),
  link: () => "This page as it stands: whoever has the file sees the same.",
};

/** Expression, texts and link, as they are now. */
function write() {
  if (document.activeElement !== $("expression")) $("expression").value = asExpression(state.tree);
  const form = document.querySelector("[name=form]:checked").value, here = link();
  try {
    if (state.wrong === null) history.replaceState(null, "", here);
  } catch {
    // of a page inside another, whose address is not ours
  }
  const texts = { python: () => asPython(state.tree), yaml: () => `${asYaml(toSaved(state.tree))}\n`, expression: () => asExpression(state.tree), link: () => location.href.split("#")[0] + here };
  const known = state.wrong === null;
  $("text").textContent = known ? texts[form]() : "";
  $("how").textContent = known ? HOW[form]() : `There is no such mask: ${state.wrong}`;
  $("copy").disabled = !known;
}

/** The state that a link holds. */
function restore(hash) {
  const given = Object.fromEntries(hash.slice(1).split("&").filter(Boolean).map((part) => {
    const at = part.indexOf("=");
    return [part.slice(0, at), decoded(part.slice(at + 1))];
  }));
  for (const [id, usual] of USUAL) $(id).value = given[id] ?? usual;
  if (!$("block").value) $("block").value = USUAL[0][1];
  state.plane = {};
  for (const [name, i] of Object.entries(given)) if (/^\d+$/.test(i)) state.plane[name] = Number(i);
  const view = given.view?.split(",").map(Number);
  canvas.view = null;
  if (given.mask) apply(given.mask);
  if (view?.length === 4 && view.every(Number.isFinite) && canvas.mask) canvas.set({ x: view[0], y: view[1], w: view[2], h: view[3] });
  return Boolean(given.mask);
}

/** What a link says; a sign that encodes nothing stands for itself. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What the expression says, in place of what is there. */
function apply(text) {
  try {
    const tree = readExpression(text, { seq_len: state.tree ? sharedLength() ?? 64 : 64 });
    build(tree);
    state.tree = tree;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (!canvas.view) change(state.tree);
    $("expression").setAttribute("aria-invalid", "true");
    return problem(error.message);
  }
  $("expression").setAttribute("aria-invalid", "false");
  renderTree();
  return update();
}

// -- pair under the pointer ----------------------------------------------------------------------------------------------

function showPair(cell) {
  const { mask } = state;
  if (!cell || !mask) {
    $("pair").textContent = "Point at the picture, or focus it and use the arrow keys.";
    $("row").textContent = "";
    return;
  }
  const single = mask.axes.length < 2, indices = single ? [] : [...leading(), cell.query];
  const allowed = mask.row(...indices)(cell.key), down = single ? "" : `${mask.axes.at(-2)} `;
  $("pair").replaceChildren(
    ...(single ? [] : [down, element("strong", { textContent: number(cell.query) }), ", "]), `${mask.axes.at(-1)} `, element("strong", { textContent: number(cell.key) }), ": ",
    element("span", { className: `state-${allowed ? "allowed" : "blocked"}`, textContent: allowed ? "allowed" : "blocked" }));
  const { spans, whole } = spansOf(mask, indices, 8);
  const texts = spans.slice(0, 8).map(([lo, hi]) => `[${number(lo)}, ${number(hi)})`);
  $("row").textContent = texts.length ? `${single ? "It allows" : "Its row allows"} ${texts.join(" ")}${whole ? "" : " and more"}` : "Its row allows nothing";
}

// -- beginning -------------------------------------------------------------------------------------------------------------

function start() {
  if (START) return void (state.tree = fromSaved(START));
  const names = Object.keys(CATALOGUE), two = ["causal", "sliding_window"].filter((name) => names.includes(name));
  state.tree = two.length === 2 ? { op: "and", parts: two.map((name) => fresh(name, 64)) } : fresh(two[0] ?? names[0], 64);
}

const canvas = new Canvas($("canvas"), showPair, () => {
  clearTimeout(writing);
  writing = setTimeout(write, 120);
});
let writing = 0;

$("line").addEventListener("submit", (event) => {
  event.preventDefault();
  $("expression").blur();
  apply($("expression").value);
});
$("closer").addEventListener("click", () => canvas.zoomAtCursor(0.5));
$("farther").addEventListener("click", () => canvas.zoomAtCursor(2));
$("whole").addEventListener("click", () => canvas.fit());
for (const id of ["heads", "width"]) $(id).addEventListener("input", () => {
  if (measuring) showFigures(measuring);
  write();
});
$("block").addEventListener("change", () => {
  measure();
  write();
});
for (const input of document.querySelectorAll("[name=form]")) input.addEventListener("change", write);
$("copy").addEventListener("click", async () => {
  let copied = true;
  try {
    await navigator.clipboard.writeText($("text").textContent);
  } catch {
    getSelection().selectAllChildren($("text"));
    copied = document.execCommand("copy");
  }
  $("copy").textContent = copied ? "Copied" : "Press Ctrl+C";
  setTimeout(() => ($("copy").textContent = "Copy"), 1200);
});
for (const [name, why] of Object.entries(ABSENT)) $("absent").append(element("li", { textContent: `Not in the explorer: ${name}: ${why}` }));
addEventListener("hashchange", () => {
  if (location.hash && location.hash !== link() && !restore(location.hash)) update();
});

start();
if (!restore(location.hash)) {
  renderTree();
  update();
}

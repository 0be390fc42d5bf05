// What the mask amounts to: counts, blocks, operations, and what kernels would take.

function problem(text, node) {
  state.problem = text;
  $("problem").hidden = !text;
  $("problem").textContent = text ?? "";
  for (const view of document.querySelectorAll(".node")) {
    const wrong = Boolean(text && node && view.node === node), line = view.querySelector(":scope > .wrong-text");
    view.classList.toggle("wrong", wrong);
    if (line) {
      line.hidden = !wrong;
      line.textContent = wrong ? text : "";
    }
  }
}

/** Everything anew, after a change; where the masks cannot be made, what was there stays and the reason is said. */
function update() {
  try {
    const mask = build(state.tree);
    if (mask.shape.some((size) => !(size >= 1 && size <= 2 ** 31))) throw new Refused(`each axis must have 1 to 2**31 entries, got ${mask.shape.map(number).join(" x ")}`);
    state.mask = mask;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    problem(error.message, error.node);
    state.wrong = error.message;
    measuring = null;
    $("numbers").classList.add("stale");
    return void (canvas.mask && write());
  }
  problem(null);
  state.wrong = null;
  renderPlanes();
  canvas.show(state.mask, leading());
  measure();
  write();
}

const leading = () => state.mask.axes.slice(0, -2).map((axis) => state.plane[axis] ?? 0);

function renderPlanes() {
  const { mask, plane } = state, views = [];
  mask.axes.slice(0, -2).forEach((axis, i) => {
    const size = mask.shape[i], word = axis === "batch" ? "Sample" : axis[0].toUpperCase() + axis.slice(1);
    plane[axis] = Math.min(plane[axis] ?? 0, size - 1);
    if (size === 1) return;
    views.push(element("label", {}, word, element("input", {
      type: "number", min: 0, max: size - 1, step: 1, value: plane[axis],
      oninput: (event) => {
        plane[axis] = Math.min(Math.max(Math.round(Number(event.target.value)) || 0, 0), size - 1);
        canvas.show(mask, leading());
        write();
      },
      onchange: (event) => (event.target.value = plane[axis]),
    }), `of ${number(size)}`));
  });
  if (views.length !== $("planes").children.length || !$("planes").contains(document.activeElement)) $("planes").replaceChildren(...views);
}

let measuring = null, waiting = 0;

/** Counts in the background, a few milliseconds at a time. */
function measure() {
  const mine = (measuring = new Measuring(state.mask, Number($("block").value)));
  const begun = performance.now();
  clearTimeout(waiting);
  const go = () => {
    if (mine !== measuring) return;
    try {
      mine.next(performance.now() + 8);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return problem(error.message);
    }
    if (mine.done || performance.now() - begun > 150) showFigures(mine);
    if (!mine.done) waiting = setTimeout(go);
  };
  waiting = setTimeout(go, 30);
  $("numbers").classList.add("stale");
}

function percent(share) {
  if (share === 0 || share === 1) return `${share * 100} %`;
  const text = (share * 100).toPrecision(4);
  return `${text.includes("e") ? Number(text).toExponential(2) : String(Number(text))} %`;
}

const KINDS = ["full", "partial", "empty"];
const about = (exact, text) => (exact ? text : `about ${text}`);
const LARGE = [[1e12, "trillion"], [1e9, "billion"], [1e6, "million"]];
function count(x, exact) {
  if (exact || x < 1e6) return number(exact || x < 1e4 ? Math.round(x) : Number(x.toPrecision(4)));
  const [unit, word] = LARGE.find(([size]) => x >= size);
  return `${(x / unit).toPrecision(4)} ${word}`;
}

const figure = (name, value, className = "") => element("div", { className }, element("dt", { textContent: name }), element("dd", { textContent: value }));

function showFigures(of) {
  const { mask } = state, found = of.result(), lines = [];
  const row = (name, value) => lines.push(figure(name, value, KINDS.includes(name) ? "inner" : ""));
  const note = (text) => lines.push(element("div", { className: "note" }, element("dd", { textContent: text })));
  row(mask.axes.join(" x "), mask.shape.map(number).join(" x "));
  row(isAttention(mask) ? "Pairs" : "Positions", number(found.total));
  row("Allowed", about(found.exact, count(found.allowed, found.exact)));
  row("Density", about(found.exact, percent(found.allowed / found.total)));
  row("Rows that allow nothing", !found.exact && !found.blockedRows ? "none met" : about(found.exact, count(found.blockedRows, found.exact)));
  if (!found.exact) note(of.done ? `Estimated from ${number(found.visited)} of ${number(found.rows)} rows${of.counter.exact ? "" : ", and from samples of their keys"}.` : "Counting ...");
  if (found.blocks) {
    const { empty, partial, full } = found.blocks, all = empty + partial + full, size = of.size;
    row(`Blocks of ${size} x ${size}`, number(Math.round(all)));
    for (const [kind, value] of [["full", full], ["partial", partial], ["empty", empty]]) row(kind, about(found.exactBlocks, `${count(value, found.exactBlocks)}, ${percent(value / all)}`));
    const part = (value) => element("i", { style: `width:${(100 * value) / all}%` });
    lines.push(element("div", { className: "bar", role: "img", "aria-label": "Full, partial and empty blocks", title: "full, partial, empty" }, part(full), part(partial)));
    if (!found.exactBlocks) note(of.done ? `Estimated from ${number(found.visitedBlocks)} of ${number(found.blockRows)} rows of blocks.` : "Counting ...");
  }
  $("numbers").replaceChildren(...lines);
  $("numbers").classList.toggle("stale", !of.done);
  showCost(found, of);
}

function scaledUnit(x, units) {
  let i = 0;
  for (; x >= 1000 && i < units.length - 1; i++) x /= 1000;
  return `${x.toPrecision(3)} ${units[i]}`;
}

const time = (seconds) => (seconds < 1e-3 ? `${(seconds * 1e6).toPrecision(3)} \u00b5s` : seconds < 1 ? `${(seconds * 1e3).toPrecision(3)} ms` : `${number(Number(seconds.toPrecision(3)))} s`);

function showCost(found, of) {
  const { mask } = state;
  $("cost").replaceChildren();
  $("kernels").replaceChildren();
  if (!isAttention(mask)) return void $("kernels").append(element("p", { className: "quiet", textContent: "No mask of queries and keys: there is no attention under it." }));
  const heads = Math.max(1, Math.round(Number($("heads").value)) || 1), width = Math.max(1, Math.round(Number($("width").value)) || 1);
  const own = sizesOf(mask), counted = (own.head ?? 1) > 1 ? 1 : heads, lanes = (own.batch ?? 1) * ((own.head ?? 1) > 1 ? own.head : heads);
  const flops = 4 * counted * width * found.allowed, touched = found.blocks.partial + found.blocks.full;
  const lines = [["Attention", about(found.exact, scaledUnit(flops, ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"]))], ["In whole blocks", about(found.exactBlocks, scaledUnit(4 * counted * width * touched * of.size ** 2, ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"]))]];
  for (const [name, value] of lines) $("cost").append(figure(name, value));
  const formula = (own.head ?? 1) > 1 ? "4 x width x allowed pairs of all heads" : "4 x heads x width x allowed pairs";
  $("cost").append(element("div", { className: "note" }, element("dd", { textContent: `Forward: ${formula}, a multiplication and an addition in QK and in PV.` })));
  showKernels(found, of, lanes, width);
}

/** The most intervals of keys in a row, of a few rows; enough to tell whether they are few. */
function mostIntervals(plane) {
  const rows = state.mask.shape.at(-2), tried = Math.min(rows, 9);
  const counts = Array.from({ length: tried }, (_, i) => spansOf(state.mask, [...plane, Math.floor((i * (rows - 1)) / Math.max(tried - 1, 1))], 257).spans.length);
  return Math.max(...counts);
}

/** Estimates by the rules that the kernels' own answers gave when the page was written. */
function showKernels(found, of, lanes, width) {
  const { rules, block, absent } = KERNELS;
  const [queries, keys] = state.mask.shape.slice(-2);
  const shared = lanes / of.planes.length;
  const touched = of.size === block ? (found.blocks.partial + found.blocks.full) * block ** 2 * shared : null;
  const intervals = mostIntervals(of.planes[0]);
  const rows = rules.map((rule) => {
    if (rule.most !== null && intervals > rule.most) return { rule, seconds: null, refuses: true };
    const pairs = rule.over === "all" ? queries * keys * lanes : touched;
    return { rule, seconds: pairs === null ? null : rule.fixed + (rule.each * pairs * width) / 64 };
  });
  if (!rows.length) return void $("kernels").append(element("p", { className: "quiet", textContent: "No kernel for attention was installed when this page was written." }));
  const known = rows.filter((row) => row.seconds !== null).sort((a, b) => a.seconds - b.seconds), best = rows.every((row) => row.seconds !== null || row.refuses) ? known[0] : null;
  const line = (row) => element("tr", { className: row === best ? "chosen" : "" }, element("td", { textContent: row.rule.kernel + (row === best ? ", chosen" : "") }), element("td", { textContent: row.refuses ? "may refuse" : row.seconds === null ? `with blocks of ${block}` : time(row.seconds), title: row.refuses ? row.rule.why : "" }));
  $("kernels").append(element("table", {}, element("thead", {}, element("tr", {}, element("th", { textContent: "Kernel" }), element("th", { textContent: "Estimate" }))), element("tbody", {}, ...[...known, ...rows.filter((row) => row.seconds === null)].map(line))));
  const refusal = (rule) => (rule.most === null ? "" : ` It took up to ${rule.most} intervals of keys in a row; of more it says: ${rule.why}.`);
  const words = rules.map((rule) => `${rule.kernel}: ${time(rule.fixed)} + ${(rule.each * 1e9).toPrecision(2)} ns for each pair ${rule.over === "all" ? "of query and key" : `in blocks of ${block} that allow something`}, per head of width 64; its own answers were ${rule.low.toFixed(2)} to ${rule.high.toFixed(2)} times that.${refusal(rule)}`);
  const details = element("details", {}, element("summary", { textContent: "How this is estimated" }),
    element("p", { textContent: "Torch on the CPU, float32, forward. When this page was written, each installed kernel was asked for its cost on reference masks; a rule was made of the answers:" }),
    ...words.map((textContent) => element("p", { textContent })),
    ...Object.entries(absent).map(([name, why]) => element("p", { textContent: `${name}: ${why}` })));
  details.open = kernelsOpen;
  details.addEventListener("toggle", () => (kernelsOpen = details.open));
  $("kernels").append(details);
  if (isExpression(state.tree)) $("kernels").append(element("p", { className: "quiet" }, "The exact answer: ", element("code", { textContent: `maskkit plan '${asExpression(state.tree)}' --heads ${$("heads").value} --head-dim ${width}` })));
}
let kernelsOpen = false;

// The page: what is chosen, what it is made of, and what it amounts to.

const $ = (id) => document.getElementById(id);
const MOST_TOKENS = 2 ** 20;
const OPERATIONS = {
  and: ["& and", "allowed where all allow"],
  or: ["| or", "allowed where any allows"],
  xor: ["^ xor", "allowed where an odd number of them allows"],
  "stack head": ["stack by head", "a mask for each head"],
  "stack batch": ["stack by sample", "a mask for each sample of a batch"],
  direct_sum: ["direct_sum", "a mask for each packed document, along the diagonal"],
};

/** An element with properties and children. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && key !== "list") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const state = { tree: null, mask: null, plane: {}, problem: null };
let unique = 0;

// -- trees -------------------------------------------------------------------------------------------------------------

const clone = (node) => (node.op === "mask" ? { ...node, values: { ...node.values } } : { ...node, parts: node.parts.map(clone) });
const leavesOf = (node) => (node.op === "mask" ? [node] : node.parts.flatMap(leavesOf));
const hasLength = (leaf) => "seq_len" in leaf.values && leaf.values.seq_len !== null;

/** Masks that share one length: all but those under direct_sum, where each has its own. */
function sharing(node) {
  if (node.op === "direct_sum") return [];
  return node.op === "mask" ? (hasLength(node) ? [node] : []) : node.parts.flatMap(sharing);
}

const sharedLength = () => sharing(state.tree)[0]?.values.seq_len;

/** A mask of the catalogue as it begins, of the length that others have. */
function fresh(name, length = sharedLength() ?? 64) {
  const form = CATALOGUE[name].forms[0];
  const values = structuredClone(plainSample(form));
  if ("seq_len" in values && form.fields.some((field) => field.name === "seq_len" && field.kind === "int")) {
    values.seq_len = length;
    for (const field of form.fields)
      if (field.kind === "int" && /size|width|window|stride|left|right|prefix/.test(field.name) && typeof values[field.name] === "number" && values[field.name] > 1)
        values[field.name] = scaled(values[field.name], form.sample.seq_len, length, field);
  }
  return { op: "mask", name, form: 0, values };
}

function plainSample(form) {
  return Object.fromEntries(Object.entries(form.sample).map(([key, value]) => [key, plain(value)]));
}

/** A size of the sample, as large for the length at hand as it was for the sample's. */
function scaled(value, from, length, field) {
  const found = Math.max(Math.round((value * length) / from), 1), step = field.step ?? 1;
  return Math.round((found - (field.min ?? 1)) / step) * step + (field.min ?? 1);
}

/** The tree with one node in place of another; null takes it away. */
function replaced(node, old, by) {
  if (node === old) return by;
  if (node.op === "mask") return node;
  const parts = node.parts.map((part) => replaced(part, old, by)).filter(Boolean);
  if (!parts.length) return null;
  return parts.length === 1 && !["not", "stack", "direct_sum"].includes(node.op) ? parts[0] : { ...node, parts };
}

/** Another tree; what had the focus has it again. */
function change(tree) {
  const controls = () => [...$("tree").querySelectorAll("button, select, input, summary")];
  const at = controls().indexOf(document.activeElement);
  state.tree = tree;
  renderTree();
  update();
  if (at >= 0) controls()[Math.min(at, controls().length - 1)].focus();
}

// -- controls ------------------------------------------------------------------------------------------------------------

function renderTree() {
  $("tree").replaceChildren(nodeView(state.tree, true, false));
  renderTokens();
}

function renderTokens() {
  const shared = sharing(state.tree);
  $("tokens").hidden = !shared.length;
  if (!shared.length) return;
  const set = (value) => {
    for (const leaf of sharing(state.tree)) leaf.values.seq_len = value;
    update();
  };
  const field = { name: "seq_len", kind: "int", min: 1, step: 1, help: "tokens of every mask that has no length of its own" };
  $("tokens").replaceChildren(...numberRow(field, shared[0].values.seq_len, set, MOST_TOKENS, "Tokens", true));
}

function nodeView(node, isRoot, ownLength) {
  if (node.op === "not") return invertible(node.parts[0], node, isRoot, ownLength);
  return invertible(node, null, isRoot, ownLength);
}

/** A node with its buttons; `outer` is the `~` around it, if there is one. */
function invertible(node, outer, isRoot, ownLength) {
  const whole = outer ?? node, isLeaf = node.op === "mask";
  const view = element("div", { className: isLeaf ? "node" : "node group", role: "group", "aria-label": isLeaf ? node.name : node.op });
  view.node = node;
  const invert = element("button", {
    type: "button", textContent: "~", title: "Invert: allowed where this blocks", "aria-label": "Invert", "aria-pressed": String(Boolean(outer)),
    onclick: () => change(replaced(state.tree, whole, outer ? node : { op: "not", parts: [node] })),
  });
  const combine = element("button", {
    type: "button", textContent: "Combine", title: "Put it beside another mask, under & to begin with",
    onclick: () => change(replaced(state.tree, whole, { op: "and", parts: [whole, nextMask(whole)] })),
  });
  const remove = element("button", {
    type: "button", textContent: "\u00d7", title: "Remove", "aria-label": "Remove", disabled: isRoot,
    onclick: () => change(replaced(state.tree, whole, null)),
  });
  const first = isLeaf ? nameSelect(node) : operationSelect(node);
  view.append(element("div", { className: "head" }, first, invert, combine, remove));
  if (isLeaf) view.append(...leafView(node, ownLength));
  else {
    const inside = ownLength || node.op === "direct_sum";
    view.append(element("p", { textContent: `${OPERATIONS[node.op === "stack" ? `stack ${node.axis}` : node.op][1]}` }));
    view.append(...node.parts.map((part) => nodeView(part, false, inside)));
    view.append(element("button", {
      type: "button", textContent: "Add a mask", onclick: () => change(replaced(state.tree, node, { ...node, parts: [...node.parts, nextMask(node)] })),
    }));
  }
  return view;
}

/** Another mask that meets those that are there: the first of the same axes that is not among them. */
function nextMask(beside) {
  const there = new Set(leavesOf(state.tree).map((leaf) => leaf.name));
  const length = leavesOf(beside).find(hasLength)?.values.seq_len ?? state.mask?.shape.at(-1) ?? 64;
  const fits = (name) => "seq_len" in CATALOGUE[name].forms[0].sample;
  const names = Object.keys(CATALOGUE).filter(fits);
  const name = ["sliding_window", "causal", ...names].find((one) => names.includes(one) && !there.has(one)) ?? names[0] ?? Object.keys(CATALOGUE)[0];
  return fresh(name, length);
}

function operationSelect(node) {
  const value = node.op === "stack" ? `stack ${node.axis}` : node.op;
  return element("select", {
    className: "name", "aria-label": "How the masks are combined",
    onchange: (event) => {
      const [op, axis] = event.target.value.split(" ");
      change(replaced(state.tree, node, axis ? { op, axis, parts: node.parts } : { op, parts: node.parts }));
    },
  }, ...Object.entries(OPERATIONS).map(([key, [word]]) => element("option", { value: key, textContent: word, selected: key === value })));
}

function nameSelect(node) {
  const groups = {};
  for (const [name, item] of Object.entries(CATALOGUE)) (groups[item.category || "other"] ??= []).push(name);
  return element("select", {
    className: "name", "aria-label": "Mask", onchange: (event) => change(replaced(state.tree, node, fresh(event.target.value, node.values.seq_len ?? undefined))),
  }, ...Object.entries(groups).map(([label, names]) => element("optgroup", { label }, ...names.map((name) => element("option", { value: name, textContent: name, selected: name === node.name })))));
}

function leafView(node, ownLength) {
  const item = CATALOGUE[node.name], form = item.forms[node.form];
  const parts = [element("p", { textContent: item.summary })];
  if (item.forms.length > 1) parts.push(formRow(node, item));
  for (const field of form.fields) {
    if (field.kind === "constant" && (field.value === null || field.value === undefined)) continue;
    if (field.name === "seq_len" && !ownLength) continue;
    parts.push(fieldRow(node, field));
  }
  for (const words of form.unchecked) parts.push(element("p", { className: "quiet", textContent: `Not checked in this page: ${words}` }));
  parts.push(element("p", { className: "wrong-text", hidden: true }), aboutView(item, form));
  return parts;
}

function aboutView(item, form) {
  const list = element("dl");
  for (const field of form.fields) list.append(element("dt", { textContent: field.name }), element("dd", { textContent: [field.help, field.limits && `It ${field.limits}.`].filter(Boolean).join(" ") }));
  return element("details", {}, element("summary", { textContent: "About" }), list,
    element("p", { textContent: item.reference ? `Source: ${item.reference}` : "" }), element("p", { textContent: `From ${item.provider}` }));
}

function formRow(node, item) {
  const id = `f${unique++}`;
  return element("div", { className: "field" }, element("label", { htmlFor: id, textContent: "given by" }), element("select", {
    id, className: "wide",
    onchange: (event) => {
      const form = Number(event.target.value), values = plainSample(item.forms[form]);
      const keep = item.forms[form].fields.some((field) => field.name === "seq_len" && field.kind === "int") && hasLength(node);
      change(replaced(state.tree, node, { ...node, form, values: keep ? { ...values, seq_len: node.values.seq_len } : values }));
    },
  }, ...item.forms.map((form, i) => element("option", { value: i, textContent: form.label, selected: i === node.form }))));
}

function fieldRow(node, field) {
  const set = (value) => {
    node.values[field.name] = value;
    update();
  };
  const value = node.values[field.name], id = `f${unique++}`;
  const label = element("label", { htmlFor: id, textContent: field.name, title: [field.help, field.limits].filter(Boolean).join(" \u2013 ") });
  const row = (...children) => element("div", { className: "field" }, label, ...children);
  if (field.kind === "int" || field.kind === "float") return element("div", { className: "field" }, ...numberRow(field, value, set, mostOf(field, value), field.name));
  if (field.kind === "bool") return row(element("input", { id, type: "checkbox", checked: value, onchange: (event) => set(event.target.checked) }));
  if (field.kind === "choice")
    return row(element("select", { id, className: "wide", onchange: (event) => set(event.target.value) }, ...field.options.map((one) => element("option", { value: one, textContent: one, selected: one === value }))));
  if (field.kind === "constant") return row(element("output", { id, textContent: print(field.value) }));
  const input = element("input", { id, type: "text", className: "wide", spellcheck: false, value: listText(value), title: listHelp(field) });
  input.addEventListener("input", () => {
    const read = readList(input.value, field);
    input.setAttribute("aria-invalid", String(read instanceof Refused));
    if (read instanceof Refused) problem(`${field.name} must be ${listHelp(field)}, got ${input.value || "nothing"}`);
    else set(read);
  });
  return row(input);
}

const listText = (value) => (Array.isArray(value[0]) ? value.map((line) => line.map(Number).join(" ")).join(", ") : value.map((one) => (typeof one === "boolean" ? Number(one) : one)).join(", "));

function listHelp(field) {
  const what = field.type === "bool" ? "0 and 1" : field.type === "float" ? "numbers" : "whole numbers";
  if (field.kind === "list") return `${field.of.length} numbers with commas`;
  return field.ndim === 2 ? `${what} with spaces, rows with commas: 1 1 0, 1 0 0` : `${what} with commas`;
}

function readList(text, field) {
  const rows = text.split(",").map((part) => part.trim().split(/\s+/).filter(Boolean));
  const one = (word) => {
    const value = Number(word);
    if (field.type === "bool") return word === "0" || word === "1" ? value === 1 : NaN;
    return field.type === "float" || field.of?.[0] === "float" || Number.isSafeInteger(value) ? value : NaN;
  };
  const deep = field.ndim === 2, read = rows.map((row) => row.map(one));
  const bad = read.some((row) => !row.length || (!deep && row.length > 1) || row.length !== read[0].length || row.some((value) => typeof value !== "boolean" && !Number.isFinite(value)));
  if (bad || (field.of && rows.length !== field.of.length)) return new Refused("not readable");
  return deep ? read : read.map(([value]) => value);
}

/** How far a slider goes: to the number of keys, or twice as far as the value. */
function mostOf(field, value) {
  if (field.max !== undefined) return field.max;
  if (/seed/.test(field.name)) return null;
  if (field.name === "seq_len") return MOST_TOKENS;
  if (/height|width/.test(field.name)) return Math.max(64, Number(value));
  if (/^num_/.test(field.name)) return Math.max(16, Number(value));
  return Math.max(state.mask?.shape.at(-1) ?? 64, Number(value), 8);
}

/** A label, a slider and a number; `powers` spaces the slider by doublings. */
function numberRow(field, value, set, most, name, powers = most !== null && most > 512) {
  const id = `f${unique++}`, isWhole = field.kind === "int", least = field.min ?? 0, step = field.step ?? (isWhole ? 1 : 0.01);
  const toSlider = (x) => (powers ? Math.log2(Math.max(Number(x), 1)) * 16 : Number(x));
  const snapped = (x) => (isWhole ? Math.round((x - least) / step) * step + least : x);
  const fromSlider = (x) => (powers ? snapped(Math.max(least, x % 16 ? Math.round(2 ** (x / 16)) : 2 ** (x / 16))) : isWhole ? snapped(x) : Number(x.toFixed(4)));
  const label = element("label", { htmlFor: id, textContent: name, title: [field.help, field.limits].filter(Boolean).join(" \u2013 ") });
  const typed = element("input", { id, type: "number", value: String(value), step: isWhole ? step : "any", min: field.min, inputMode: isWhole ? "numeric" : "decimal" });
  const slider = most === null ? null : element("input", {
    type: "range", tabIndex: 0, "aria-label": `${name}, slider`, min: powers ? 0 : least, max: powers ? Math.ceil(Math.log2(most) * 16) : most, step: powers ? 1 : step, value: toSlider(value),
  });
  slider?.addEventListener("input", () => {
    const found = fromSlider(Number(slider.value));
    typed.value = String(found);
    typed.removeAttribute("aria-invalid");
    set(found);
  });
  typed.addEventListener("input", () => {
    const text = typed.value.trim(), whole = /^-?\d+$/.test(text);
    const good = isWhole ? whole && (Number(text) <= 2 ** 31 || /seed/.test(field.name)) : text !== "" && Number.isFinite(Number(text));
    typed.setAttribute("aria-invalid", String(!good));
    if (!good) return problem(`${name} must be ${isWhole ? "a whole number up to 2**31" : "a number"}, got ${text || "nothing"}`);
    const found = whole && !Number.isSafeInteger(Number(text)) ? BigInt(text) : Number(text);
    if (slider) slider.value = toSlider(found);
    return set(found);
  });
  if (!slider) typed.style.gridColumn = "2 / -1";
  return slider ? [label, slider, typed] : [label, typed];
}

// -- figures ---------------------------------------------------------------------------------------------------------------

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
    state.mask = build(state.tree);
    if (state.mask.shape.some((size) => !(size >= 1 && size <= 2 ** 31))) throw new Refused(`each axis must have 1 to 2**31 entries, got ${state.mask.shape.map(number).join(" x ")}`);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    problem(error.message, error.node);
    $("numbers").classList.add("stale");
    return;
  }
  problem(null);
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
      },
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
  row("Pairs", number(found.total));
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

// -- text ------------------------------------------------------------------------------------------------------------------

function link() {
  const { view } = canvas, parts = [`mask=${encodeURIComponent(asExpression(state.tree))}`];
  const planes = Object.entries(state.plane).filter(([axis, i]) => i && state.mask.axes.includes(axis));
  for (const [axis, i] of planes) parts.push(`${axis}=${i}`);
  if (view && (view.w < canvas.keys || view.h < canvas.queries)) parts.push(`view=${[view.x, view.y, view.w, view.h].map((x) => Number(x.toFixed(2))).join(",")}`);
  for (const [id, usual] of [["block", "128"], ["heads", "8"], ["width", "64"]]) if ($(id).value !== usual) parts.push(`${id}=${encodeURIComponent($(id).value)}`);
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
    history.replaceState(null, "", here);
  } catch {
    // of a page inside another, whose address is not ours
  }
  const texts = { python: () => asPython(state.tree), yaml: () => `${asYaml(toSaved(state.tree))}\n`, expression: () => asExpression(state.tree), link: () => location.href.split("#")[0] + here };
  $("text").textContent = texts[form]();
  $("how").textContent = HOW[form]();
}

/** The state that a link holds. */
function restore(hash) {
  const given = Object.fromEntries(hash.slice(1).split("&").filter(Boolean).map((part) => {
    const at = part.indexOf("=");
    return [part.slice(0, at), decodeURIComponent(part.slice(at + 1))];
  }));
  for (const id of ["block", "heads", "width"]) if (given[id]) $(id).value = given[id];
  for (const axis of LEADING) if (given[axis]) state.plane[axis] = Math.max(0, Math.round(Number(given[axis])) || 0);
  const view = given.view?.split(",").map(Number);
  if (given.mask) apply(given.mask);
  if (view?.length === 4 && view.every(Number.isFinite) && canvas.mask) canvas.set({ x: view[0], y: view[1], w: view[2], h: view[3] });
  return Boolean(given.mask);
}

/** What the expression says, in place of what is there. */
function apply(text) {
  try {
    const tree = readExpression(text, { seq_len: state.tree ? sharedLength() ?? 64 : 64 });
    build(tree);
    state.tree = tree;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (!state.tree) start();
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
  try {
    await navigator.clipboard.writeText($("text").textContent);
  } catch {
    getSelection().selectAllChildren($("text"));
    document.execCommand("copy");
  }
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy"), 1200);
});
for (const [name, why] of Object.entries(ABSENT)) $("absent").append(element("li", { textContent: `Not in the explorer: ${name}: ${why}` }));
addEventListener("hashchange", () => {
  if (location.hash && location.hash !== link()) restore(location.hash);
});

start();
if (!restore(location.hash)) {
  renderTree();
  update();
}

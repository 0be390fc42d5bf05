// The masks that are chosen: a tree, and the controls of each mask, made from its fields.

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

const state = { tree: null, mask: null, plane: {}, problem: null, wrong: null }; // `wrong`: why the tree is no mask
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

/** Another mask that meets what is there: the first that is not among it, or the same once more. */
function nextMask(beside) {
  const there = new Set(leavesOf(state.tree).map((leaf) => leaf.name));
  const length = leavesOf(beside).find(hasLength)?.values.seq_len ?? state.mask?.shape.at(-1) ?? 64;
  const meets = (node) => {
    try {
      return build({ op: "and", parts: [beside, node] });
    } catch {
      return null;
    }
  };
  const names = Object.keys(CATALOGUE).filter((name) => !there.has(name)), usual = ["sliding_window", "causal"].filter((name) => names.includes(name));
  for (const name of [...usual, ...names]) {
    const node = fresh(name, length);
    if (meets(node)) return node;
  }
  return clone(beside);
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

/** A label that may be broken behind underscores. */
function labelOf(id, name, { help, limits }) {
  const words = name.split("_").flatMap((word, i) => (i ? ["_", element("wbr"), word] : [word]));
  return element("label", { htmlFor: id, title: [help, limits].filter(Boolean).join(" \u2013 ") }, ...words);
}

function fieldRow(node, field) {
  const set = (value) => {
    node.values[field.name] = value;
    update();
  };
  const value = node.values[field.name], id = `f${unique++}`;
  const label = labelOf(id, field.name, field);
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
  const label = labelOf(id, name, field);
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

// Masks that compute: `{axes, shape, row, box}`.
//
// row(...indices)(key) tells of one pair whether it is allowed; the indices are of all axes but the last.
// box(...indices, lastRow)(key, lastKey) tells of all pairs between two rows and two keys: 1 none, 2 all, 3 not known.

const HEADS = ["batch", "head", "query", "key"];
const ORDER = [...HEADS, "height", "width"];
const LEADING = ["batch", "head"];

const isAttention = (mask) => mask.axes.slice(-2).join() === "query,key";

function sizesOf(mask) {
  return Object.fromEntries(mask.axes.map((axis, i) => [axis, mask.shape[i]]));
}

/** The axes that masks have together: one that is missing, or of size 1, serves all. */
function together(masks, what) {
  const whole = masks.reduce((a, b) => (b.axes.length > a.axes.length ? b : a));
  const found = {};
  for (const mask of masks) {
    for (const [axis, here] of Object.entries(sizesOf(mask))) {
      const there = (found[axis] ??= here);
      if (here !== there && here !== 1 && there !== 1)
        throw new Refused(
          `masks do not ${what}: ${mask.title} has ${number(here)} along the axis '${axis}', where others have ${number(there)}; give both the same`,
        );
      found[axis] = Math.max(here, there);
    }
    const apart = mask.axes.find((axis) => !whole.axes.includes(axis) && !LEADING.includes(axis));
    if (apart)
      throw new Refused(`masks do not ${what}: ${mask.title} has the axis '${apart}', and others are of ${whole.axes.join(", ")}`);
  }
  const place = (axis) => (ORDER.includes(axis) ? ORDER.indexOf(axis) : ORDER.length);
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => place(a) - place(b)));
}

/** A part of a whole: its rows and boxes, asked with the indices of the whole. */
function partOf(part, axes) {
  const last = axes.length - 1;
  const places = part.axes.map((axis, i) => (part.shape[i] === 1 ? -1 : axes.indexOf(axis)));
  const own = places.pop(), rows = places.at(-1);
  const lead = (indices) => places.map((place) => (place < 0 ? 0 : indices[place]));
  return {
    row(indices) {
      const allows = part.row(...lead(indices));
      if (own === last) return allows;
      const fixed = allows(own < 0 ? 0 : indices[own]);
      return () => fixed;
    },
    box(indices, lastRow) {
      const end = (place) => (place < 0 ? 0 : place === last - 1 ? lastRow : indices[place]);
      const ends = lead(indices);
      if (places.length) ends.push(end(rows));
      const code = part.box(...ends);
      if (own === last) return code;
      const fixed = code(own < 0 ? 0 : indices[own], end(own));
      return () => fixed;
    },
  };
}

/** A mask of several: `pairs(rows)` and `boxes(codes)` make one function of theirs. */
function composed(title, sizes, parts, pairs, boxes) {
  const axes = Object.keys(sizes);
  const own = parts.map((part) => partOf(part, axes));
  return {
    title,
    axes,
    shape: Object.values(sizes),
    row: (...indices) => pairs(own.map((part) => part.row(indices)), indices),
    box: (...ends) => {
      const lastRow = axes.length > 1 ? ends.pop() : 0;
      return boxes(own.map((part) => part.box(ends, lastRow)), ends, lastRow);
    },
  };
}

const PAIRS = {
  and: (a, b) => (k) => a(k) && b(k),
  or: (a, b) => (k) => a(k) || b(k),
  xor: (a, b) => (k) => a(k) !== b(k),
};
const BOXES = { and: R.both, or: R.either, xor: R.one };
const SYMBOLS = { and: "&", or: "|", xor: "^" };

function combined(operation, parts) {
  const code = BOXES[operation];
  return composed(
    `(${parts.map((part) => part.title).join(` ${SYMBOLS[operation]} `)})`,
    together(parts, `combine under '${operation}'`),
    parts,
    (rows) => rows.reduce(PAIRS[operation]),
    (codes) => codes.reduce((a, b) => (k, j) => code(a(k, j), b(k, j))),
  );
}

function inverted(part) {
  return composed(`~${part.title}`, together([part], "combine under 'not'"), [part],
    ([row]) => (k) => !row(k), ([code]) => (k, j) => R.neither(code(k, j)));
}

/** One mask for each head, or sample. */
function stacked(parts, axis) {
  for (const part of parts) {
    if (!isAttention(part)) throw new Refused(`stack takes masks of queries and keys; ${part.title} is of ${part.axes.join(", ")}`);
    if (part.axes.includes(axis)) throw new Refused(`${part.title} has an axis '${axis}' already; stack along the other one`);
  }
  const found = { ...together(parts, "stack"), [axis]: parts.length };
  const sizes = Object.fromEntries(HEADS.filter((name) => name in found).map((name) => [name, found[name]]));
  const place = Object.keys(sizes).indexOf(axis);
  return composed("stack", sizes, parts, (rows, indices) => rows[indices[place]], (codes, ends) => codes[ends[place]]);
}

/** One mask for each packed document, along the diagonal. */
function directSum(parts) {
  const counts = {};
  for (const part of parts) {
    if (!isAttention(part)) throw new Refused(`direct_sum takes masks of queries and keys; ${part.title} is of ${part.axes.join(", ")}`);
    part.axes.slice(0, -2).forEach((axis, i) => {
      const size = part.shape[i], there = counts[axis] ?? 1;
      if (size !== there && size !== 1 && there !== 1)
        throw new Refused(`masks beside each other differ along the axis '${axis}': ${there} and ${size}`);
      counts[axis] = Math.max(there, size);
    });
  }
  const tops = [0], lefts = [0];
  for (const { shape } of parts) {
    tops.push(tops.at(-1) + shape.at(-2));
    lefts.push(lefts.at(-1) + shape.at(-1));
  }
  const leading = LEADING.filter((axis) => axis in counts);
  const axes = [...leading, "query", "key"], at = leading.length;
  const own = parts.map((part) => partOf(part, axes));
  const find = (starts, i) => {
    let a = 0;
    for (let b = starts.length - 1; b - a > 1; ) {
      const middle = (a + b) >> 1;
      if (starts[middle] <= i) a = middle;
      else b = middle;
    }
    return a;
  };
  const local = (indices, n, q) => [...indices.slice(0, at), q - tops[n]];
  return {
    title: "direct_sum",
    axes,
    shape: [...leading.map((axis) => counts[axis]), tops.at(-1), lefts.at(-1)],
    row(...indices) {
      const n = find(tops, indices[at]), allows = own[n].row(local(indices, n, indices[at]));
      return (k) => k >= lefts[n] && k < lefts[n + 1] && allows(k - lefts[n]);
    },
    box(...ends) {
      const lastRow = ends.pop(), first = find(tops, ends[at]), last = find(tops, lastRow);
      if (first !== last) {
        // Several parts are crossed: nothing outside of their columns, inside not known.
        return (k, j) => (j < lefts[first] || k >= lefts[last + 1] ? 1 : 3);
      }
      const code = own[first].box(local(ends, first, ends[at]), lastRow - tops[first]);
      return (k, j) => {
        const a = Math.max(k, lefts[first]), b = Math.min(j, lefts[first + 1] - 1);
        if (a > b) return 1;
        const inside = code(a - lefts[first], b - lefts[first]);
        return a === k && b === j ? inside : inside | 1;
      };
    },
  };
}

// -- from trees ----------------------------------------------------------------------------------------------------------
//
// A node is {op: "mask", name, form, values}, or {op, parts} with "and", "or", "xor", "not", "stack" (and its axis) or
// "direct_sum".

function parameters(form, values) {
  const p = {};
  for (const field of form.fields) {
    const value = values[field.name];
    p[field.name] = field.kind === "array" ? R.table(value, field.ndim, field.type) : value;
  }
  return p;
}

/** The mask of a node. Raises Refused with what is wrong and, in `node`, where. */
function build(node) {
  try {
    if (node.op === "mask") return leaf(node);
    const parts = node.parts.map(build);
    if (node.op === "not") return inverted(parts[0]);
    if (node.op === "stack") return stacked(parts, node.axis);
    return node.op === "direct_sum" ? directSum(parts) : combined(node.op, parts);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    error.node ??= node;
    throw error;
  }
}

function leaf(node) {
  const form = CATALOGUE[node.name].forms[node.form];
  const p = parameters(form, node.values);
  for (const check of form.checks) {
    const problem = check(p);
    if (problem) throw new Refused(problem);
  }
  return { ...form.make(p), title: node.name };
}

const ENTRIES = { int: "whole numbers", float: "numbers", bool: "True or False" };
const KINDS_OF = {
  int: () => "a whole number",
  float: () => "a number",
  bool: () => ENTRIES.bool,
  choice: (field) => `one of ${field.options.map((one) => print(one)).join(", ")}`,
  array: (field) => `${field.ndim > 1 ? "rows of" : "a list of"} ${ENTRIES[field.type]}`,
};

function fitsKind(field, value) {
  if (field.kind === "int") return typeof value === "bigint" || Number.isInteger(value);
  if (field.kind === "float") return typeof value === "number";
  if (field.kind === "bool") return typeof value === "boolean";
  if (field.kind === "choice") return field.options.includes(value);
  if (field.kind === "list")
    return Array.isArray(value) && value.length === field.of.length && value.every((one, i) => fitsKind({ kind: field.of[i] }, one));
  if (field.kind === "array") {
    const holds = (inner, axis) => (axis ? Array.isArray(inner) && inner.length > 0 && inner.every((one) => holds(one, axis - 1)) : fitsKind({ kind: field.type }, inner));
    return holds(value, field.ndim);
  }
  return print(value, true) === print(field.value, true);
}

/** A node for parameters by name: of the first form that takes them. */
function leafOf(name, given) {
  const item = Object.hasOwn(CATALOGUE, name) ? CATALOGUE[name] : undefined;
  if (!item) {
    if (Object.hasOwn(ABSENT, name)) throw new Refused(`${name} is not in the explorer: ${ABSENT[name]}`);
    const near = Object.keys(CATALOGUE).find((known) => known.startsWith(name.slice(0, 3)));
    throw new Refused(`unknown mask '${name}'${near ? `; did you mean '${near}'?` : ""}`);
  }
  const unknown = Object.keys(given).find((key) => !item.forms[0].fields.some((field) => field.name === key));
  if (unknown) throw new Refused(`unknown parameter '${unknown}' (${name} takes ${item.forms[0].fields.map((f) => f.name).join(", ")})`);
  const open = (f, form) => (f.name === "seed" && f.kind === "int" && f.default === null ? Math.floor(Math.random() * 2 ** 32) : f.required && !(f.name in given) ? form.sample[f.name] : f.default);
  const complete = (form) => Object.fromEntries(form.fields.map((f) => [f.name, plain(given[f.name] ?? open(f, form))]));
  const form = item.forms.findIndex((one) => {
    const values = complete(one);
    return one.fields.every((field) => fitsKind(field, values[field.name]));
  });
  if (form >= 0) return { op: "mask", name, form, values: complete(item.forms[form]) };
  const wrong = item.forms[0].fields.find((f) => f.name in given && f.kind in KINDS_OF && item.forms.every((one) => !fitsKind(one.fields.find((other) => other.name === f.name), plain(given[f.name]))));
  if (wrong) throw new Refused(`${wrong.name} must be ${KINDS_OF[wrong.kind](wrong)}, got ${print(given[wrong.name])}`);
  throw new Refused(`${name} is in the explorer only for ${item.forms.map((one) => one.label || fixedOf(one)).join("; ")}`);
}

/** The parameters of a form that stay as they are. */
function fixedOf(form) {
  const fixed = form.fields.filter((field) => field.kind === "constant" && field.value !== null);
  return fixed.map((field) => `${field.name}=${print(field.value)}`).join(", ") || "parameters of other kinds";
}

/** Arrays whose dtype a list would lose are saved beside it. */
function plain(value) {
  return value && typeof value === "object" && !Array.isArray(value) && "values" in value ? value.values : value;
}

/** The node of a mapping as `maskkit.to_dict` gives it. */
function fromSaved(saved) {
  const mapping = typeof saved === "string" ? { type: saved } : saved;
  if (!mapping || typeof mapping !== "object") throw new Refused("a mask is a mapping with a type");
  if ("type" in mapping) {
    const { type, ...given } = mapping;
    return leafOf(String(type).replace(/^mask\./, ""), given);
  }
  if ("not" in mapping) return { op: "not", parts: [fromSaved(mapping.not)] };
  for (const op of ["and", "or", "xor", "direct_sum"]) if (Array.isArray(mapping[op]) && mapping[op].length) return { op, parts: mapping[op].map(fromSaved) };
  if (Array.isArray(mapping.stack)) {
    const of = mapping.of ?? mapping.stack.map((_, i) => i);
    return { op: "stack", axis: mapping.axis === "batch" ? "batch" : "head", parts: of.map((i) => fromSaved(mapping.stack[i])) };
  }
  throw new Refused(`this page has masks by name under &, |, ^, ~, stack and direct_sum, not '${Object.keys(mapping)[0]}'`);
}

function toSaved(node) {
  if (node.op === "mask") return { type: CATALOGUE[node.name].type, ...node.values };
  if (node.op === "not") return { not: toSaved(node.parts[0]) };
  const parts = node.parts.map(toSaved);
  if (node.op !== "stack") return { [node.op]: parts };
  const texts = parts.map((part) => print(part, true)), known = [...new Set(texts)];
  return { stack: known.map((text) => parts[texts.indexOf(text)]), axis: node.axis, of: texts.map((text) => known.indexOf(text)) };
}

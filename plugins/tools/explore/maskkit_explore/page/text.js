// Masks as text: expressions, Python, YAML and JSON, written and read.

const number = (x) => (typeof x === "number" && !Number.isInteger(x) ? String(x) : String(x).replace(/\B(?=(\d{3})+$)/g, ","));

/** A plain value as Python writes it, or as JSON does. */
function print(value, json = false) {
  if (value === null || value === undefined) return json ? "null" : "None";
  if (typeof value === "boolean") return json ? String(value) : value ? "True" : "False";
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((one) => print(one, json)).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${print(one, json)}`).join(", ")}}`;
  return String(value).replace(/^(-?\d+)e/, "$1.0e"); // without a point, YAML reads it as a text
}

/** The parameters that differ from their defaults. */
function given(node) {
  const { fields } = CATALOGUE[node.name].forms[node.form];
  return fields.filter((field) => field.required || print(node.values[field.name]) !== print(field.default)).map((field) => [field.name, node.values[field.name]]);
}

function written(node, call, wrap) {
  const inner = (part) => written(part, call, wrap);
  if (node.op === "mask") return call(CATALOGUE[node.name].type, given(node).map(([name, value]) => `${name}=${print(value)}`));
  const bracketed = (part) => (part.op in SYMBOLS ? `(${inner(part)})` : inner(part));
  if (node.op === "not") return `~${bracketed(node.parts[0])}`;
  if (node.op in SYMBOLS) return node.parts.map(bracketed).join(` ${SYMBOLS[node.op]} `);
  const list = `[${node.parts.map(inner).join(", ")}]`;
  return node.op === "stack" ? `${wrap}stack(${list}, axis="${node.axis}")` : `${wrap}direct_sum(${list})`;
}

const asExpression = (node) => written(node, (name, args) => (args.length ? `${name}(${args.join(", ")})` : name), "");

function asPython(node) {
  const text = (part) => written(part, (name, args) => `maskkit.create(${[`"${name}"`, ...args].join(", ")})`, "maskkit.");
  if (!(node.op in SYMBOLS)) return `import maskkit\n\nmask = ${text(node)}\n`;
  const parts = node.parts.map((part) => (part.op in SYMBOLS ? `(${text(part)})` : text(part)));
  return `import maskkit\n\nmask = (\n    ${parts.join(`\n    ${SYMBOLS[node.op]} `)}\n)\n`;
}

/** Whether `maskkit.parse` and the command line read the expression: they know no stack and no direct_sum. */
const isExpression = (node) => node.op === "mask" || (node.op !== "stack" && node.op !== "direct_sum" && node.parts.every(isExpression));

function asYaml(saved, indent = "") {
  const lines = [];
  for (const [key, value] of Object.entries(saved)) {
    const masks = value && typeof value === "object" && (Array.isArray(value) ? value.length && value[0] && typeof value[0] === "object" && !Array.isArray(value[0]) : true);
    if (!masks) lines.push(`${indent}${key}: ${typeof value === "string" && /^[a-z_]+$/i.test(value) && !/^(y|n|yes|no|on|off|true|false|null|none)$/i.test(value) ? value : print(value, true)}`);
    else if (Array.isArray(value)) {
      lines.push(`${indent}${key}:`);
      for (const one of value) lines.push(`${indent}- ${asYaml(one, `${indent}  `).trimStart()}`);
    } else lines.push(`${indent}${key}:`, asYaml(value, `${indent}  `));
  }
  return lines.join("\n");
}

// -- reading ---------------------------------------------------------------------------------------------------------------

const TOKEN = /\s*(?:(-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|([A-Za-z_][\w.]*)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|([&|^~()[\]{},=:]))/y;
const WORDS = { True: true, true: true, False: false, false: false, None: null, null: null };

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.next();
  }

  next() {
    const before = this.token;
    TOKEN.lastIndex = this.at;
    const found = TOKEN.exec(this.text);
    this.start = this.at;
    if (found) {
      this.at = TOKEN.lastIndex;
      const [, digits, word, string, sign] = found;
      this.token = digits ? { digits } : word ? { word } : string ? { string } : { sign };
    } else {
      if (this.text.slice(this.at).trim()) this.fail(`'${this.text.slice(this.at).trim()[0]}'`);
      this.token = {};
    }
    return before;
  }

  fail(got = Object.values(this.token)[0] ?? "the end") {
    throw new Refused(`cannot read the expression at column ${this.start + 1}: got ${got}; it holds names, calls with keywords such as banded(band_width=5), & | ^ ~ and parentheses`);
  }

  takes(sign) {
    if (this.token.sign !== sign) return false;
    this.next();
    return true;
  }

  needs(sign) {
    if (!this.takes(sign)) this.fail();
  }

  list(close, one) {
    const found = [];
    while (!this.takes(close)) {
      found.push(one());
      if (!this.takes(",")) {
        this.needs(close);
        break;
      }
    }
    return found;
  }

  value() {
    const token = this.next();
    if (token.digits) {
      const whole = /^-?\d+$/.test(token.digits);
      return whole && !Number.isSafeInteger(Number(token.digits)) ? BigInt(token.digits) : Number(token.digits);
    }
    if (token.string) return token.string.slice(1, -1).replace(/\\(.)/g, "$1");
    if (token.word && Object.hasOwn(WORDS, token.word)) return WORDS[token.word];
    if (token.sign === "[") return this.list("]", () => this.value());
    if (token.sign === "(") return this.list(")", () => this.value());
    if (token.sign === "{")
      return Object.fromEntries(this.list("}", () => {
        const key = this.value();
        this.needs(":");
        return [key, this.value()];
      }));
    return this.fail(Object.values(token)[0]);
  }

  binary(signs) {
    if (!signs.length) return this.unary();
    const [sign, ...tighter] = signs, op = Object.keys(SYMBOLS).find((key) => SYMBOLS[key] === sign);
    const parts = [this.binary(tighter)];
    while (this.takes(sign)) parts.push(this.binary(tighter));
    return parts.length > 1 ? { op, parts } : parts[0];
  }

  unary() {
    if (this.takes("~")) return { op: "not", parts: [this.unary()] };
    if (this.takes("(")) {
      const inner = this.mask();
      this.needs(")");
      return inner;
    }
    if (!this.token.word) this.fail();
    const name = this.next().word.replace(/^mask\./, "");
    if (name === "stack" || name === "direct_sum") return this.beside(name);
    const pairs = this.takes("(") ? this.list(")", () => this.keyword()) : [];
    const twice = pairs.find(([key], i) => pairs.findIndex(([other]) => other === key) < i);
    if (twice) throw new Refused(`cannot read the expression: ${name} is given '${twice[0]}' twice; give it once`);
    return { op: "named", name, given: Object.fromEntries(pairs) };
  }

  keyword() {
    if (!this.token.word) this.fail();
    const key = this.next().word;
    this.needs("=");
    return [key, this.value()];
  }

  beside(op) {
    this.needs("(");
    this.needs("[");
    const parts = this.list("]", () => this.mask());
    const node = op === "stack" ? { op, axis: "head", parts } : { op, parts };
    if (this.takes(",") && this.token.word) {
      const [key, value] = this.keyword();
      if (key !== "axis" || !LEADING.includes(value)) throw new Refused(`axis must be one of 'head', 'batch', got ${print(value)}`);
      node.axis = value;
    }
    this.needs(")");
    if (!parts.length) throw new Refused(`${op} needs at least one mask, got none`);
    return node;
  }

  mask() {
    return this.binary(["|", "^", "&"]);
  }

  end() {
    if (Object.keys(this.token).length) this.fail();
  }
}

function readValue(text) {
  const reader = new Reader(text), value = reader.value();
  reader.end();
  return value;
}

/** The node of an expression; masks that are not told their length take it from `shared`, where they have it. */
function readExpression(text, shared = {}) {
  const reader = new Reader(text), found = reader.mask();
  reader.end();
  const named = (node) => {
    if (node.op !== "named") return { ...node, parts: node.parts.map(named) };
    const fields = Object.hasOwn(CATALOGUE, node.name) ? CATALOGUE[node.name].forms[0].fields : [];
    const open = Object.entries(shared).filter(([key]) => fields.some((field) => field.name === key && field.required));
    return leafOf(node.name, { ...Object.fromEntries(open), ...node.given });
  };
  return named(found);
}

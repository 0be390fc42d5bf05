// Numbers as Python has them, for single pairs and for intervals of pairs. What masks are written with.
//
// Whole numbers are exact to 2**53. The code of a condition over a box of pairs: 1 it may be false, 2 it may be true,
// 3 both.

class Refused extends Error {}

const R = (() => {
  const EXACT = 2 ** 53;

  function safe(x) {
    if (x > EXACT || x < -EXACT) throw new Refused(`a number goes beyond 2**53, where this page is not exact`);
    return x;
  }

  // -- single numbers: // and % round down, as in Python; by 0 they are 0, as in NumPy ---------------------------------

  const div = (a, b) => (b === 0 ? 0 : Math.floor(a / b));

  function mod(a, b) {
    if (b === 0) return 0;
    const rest = a % b;
    return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
  }

  // JavaScript's own bit operations see 32 bits; larger numbers are taken in two halves.
  const small = (a) => a === (a | 0);
  const bitwise = (low, whole) => (a, b) => {
    if (small(a) && small(b)) return low(a, b);
    return Number(whole(BigInt(safe(+a)), BigInt(safe(+b))));
  };
  const and = bitwise((a, b) => a & b, (a, b) => a & b);
  const or = bitwise((a, b) => a | b, (a, b) => a | b);
  const xor = bitwise((a, b) => a ^ b, (a, b) => a ^ b);
  const not = (a) => -1 - a;

  const bit_length = (a) => BigInt(Math.abs(a)).toString(2).replace(/^0+/, "").length;

  function round(x) {
    const floor = Math.floor(x), rest = x - floor;
    if (rest !== 0.5) return Math.round(x);
    return floor % 2 === 0 ? floor : floor + 1;
  }

  // -- tables: arrays of the mask, flat -------------------------------------------------------------------------------

  function table(nested, ndim, type) {
    const shape = [];
    for (let inner = nested; shape.length < ndim; inner = inner[0]) shape.push(inner.length);
    const even = (inner, axis) => axis === ndim || (inner.length === shape[axis] && inner.every((one) => even(one, axis + 1)));
    if (ndim > 1 && !even(nested, 0)) throw new Refused("rows must be of one length");
    const flat = nested.flat(ndim - 1);
    return { shape, data: Float64Array.from(flat, Number), type };
  }

  function each(what, type, ...args) {
    const first = args.find((arg) => arg?.data);
    const data = first.data.map((_, i) => what(...args.map((arg) => (arg?.data ? arg.data[arg.data.length > 1 ? i : 0] : arg))));
    return { shape: first.shape, data, type };
  }

  const at = (t, i) => t.data[i < 0 ? i + t.data.length : i];
  const flat = (data, type) => ({ shape: [data.length], data: Float64Array.from(data), type });

  function repeat(values, counts) {
    const size = counts.data.reduce((a, b) => a + b, 0);
    const data = new Float64Array(size);
    let next = 0;
    counts.data.forEach((count, i) => {
      data.fill(values.data[i], next, next + count);
      next += count;
    });
    return { shape: [size], data, type: values.type };
  }

  const arange = (n) => flat(Array.from({ length: n }, (_, i) => i), "int");
  const flatnonzero = (t) => flat([...t.data.keys()].filter((i) => t.data[i]), "int");
  const sum = (t) => t.data.reduce((a, b) => a + b, 0);
  function cumsum(t) {
    let total = 0;
    return flat(t.data.map((x) => (total += x)), "int");
  }

  // The least and the most of a stretch: a tree over the table, made when it is first asked for.
  function tree(t) {
    if (!t.tree) {
      const n = t.data.length, low = new Float64Array(2 * n), high = new Float64Array(2 * n);
      low.set(t.data, n);
      high.set(t.data, n);
      for (let i = n - 1; i > 0; i--) {
        low[i] = Math.min(low[2 * i], low[2 * i + 1]);
        high[i] = Math.max(high[2 * i], high[2 * i + 1]);
      }
      t.tree = { low, high };
    }
    return t.tree;
  }

  function extreme(which, better) {
    return (t, lo, hi) => {
      if (lo === hi) return at(t, lo);
      const n = t.data.length, nodes = tree(t)[which];
      let a = lo < 0 ? n : lo + n, b = lo < 0 ? 2 * n : Math.min(hi, n - 1) + n + 1;
      let found = nodes[Math.min(a, 2 * n - 1)];
      for (; a < b; a >>= 1, b >>= 1) {
        if (a & 1) found = better(found, nodes[a++]);
        if (b & 1) found = better(found, nodes[--b]);
      }
      return found;
    };
  }

  // -- random bits: the same as maskkit.random_bits -------------------------------------------------------------------

  const FACTORS = [0x6f4b, 0x5d29, 0x7a35, 0x4e6d], LOW = 0xffff;

  // A state is two halves of 16 bits, left and right, in one number.
  function absorb(state, word, i) {
    const right = state & LOW, product = Math.imul(right, FACTORS[i]) + 0x3c6e;
    return (right << 16) | ((state >>> 16) ^ word ^ (((product >>> 6) ^ product) & LOW));
  }

  // What the seed gives, before any coordinate; and of each axis the coordinate that was asked last, for rows repeat.
  function words(seed) {
    const whole = BigInt(seed);
    let start = (0x243f << 16) | 0x6a88;
    [0n, 16n, 32n, 48n].forEach((shift, i) => (start = absorb(start, Number((whole >> shift) & 0xffffn), i)));
    return { axes: [0, 1, 2, 3].map((axis) => absorb(start, axis, 0)), last: -1, state: 0 };
  }

  function hashed(start, coordinate) {
    if (coordinate >= 2147483648) throw new Refused("random bits are for positions below 2**31");
    let state = absorb(absorb(start, coordinate & LOW, 1), coordinate >>> 16, 2);
    state = absorb(absorb(state, 0, 3), 0, 0);
    return absorb(state, 0, 1);
  }

  function bits(w, first, ...others) {
    if (w.last !== first) {
      w.state = hashed(w.axes[0], first);
      w.last = first;
    }
    let a = w.state >>> 16, b = w.state & LOW;
    for (let axis = 0; axis < others.length; axis++) {
      const one = hashed(w.axes[axis + 1], others[axis]);
      a ^= one >>> 16;
      b = (b + (one & LOW)) & LOW;
    }
    let state = (a << 16) | b;
    for (let i = 0; i < 4; i++) state = absorb(state, 0, i);
    return ((state >>> 16) & 0x7fff) * 65536 + (state & LOW);
  }

  // -- boxes ------------------------------------------------------------------------------------------------------------

  const both = (a, b) => (a & b & 2) | ((a | b) & 1);
  const either = (a, b) => ((a | b) & 2) | (a & b & 1);
  const neither = (a) => (a >> 1) | ((a & 1) << 1);
  const one = (a, b) => (a === 3 || b === 3 ? 3 : a === b ? 1 : 2);
  const equal = (a, b, c, d) => (b < c || d < a ? 1 : a === b && c === d ? 2 : 3);
  const unequal = (a, b, c, d) => neither(equal(a, b, c, d));

  const abs0 = (a, b) => (a > 0 ? a : b < 0 ? -b : 0);
  const mul0 = (a, b, c, d = c) => Math.min(a * c, a * d, b * c, b * d);
  const mul1 = (a, b, c, d = c) => Math.max(a * c, a * d, b * c, b * d);

  function div0(a, b, c, d = c) {
    if (c === d) return div(c < 0 ? b : a, c);
    if (c > 0 || d < 0) return Math.min(div(a, c), div(a, d), div(b, c), div(b, d));
    return -Math.max(Math.abs(a), Math.abs(b));
  }
  function div1(a, b, c, d = c) {
    if (c === d) return div(c < 0 ? a : b, c);
    if (c > 0 || d < 0) return Math.max(div(a, c), div(a, d), div(b, c), div(b, d));
    return Math.max(Math.abs(a), Math.abs(b));
  }
  const stays = (a, b, c, d) => c === d && div(a, c) === div(b, c);
  const mod0 = (a, b, c, d = c) => (stays(a, b, c, d) ? mod(a, c) : c < 0 ? c + 1 : 0);
  const mod1 = (a, b, c, d = c) => (stays(a, b, c, d) ? mod(b, c) : d > 0 ? d - 1 : 0);

  const above = (x) => 2 ** bit_length(x) - 1;
  const exact = (operation, otherwise) => (a, b, c, d = c) => (a === b && c === d ? operation(a, c) : otherwise(a, b, c, d));
  const natural = (bound, otherwise) => (a, b, c, d) => (a >= 0 && c >= 0 ? bound(a, b, c, d) : otherwise);
  const and0 = exact(and, natural(() => 0, -EXACT)), and1 = exact(and, natural((a, b, c, d) => Math.min(b, d), EXACT));
  const or0 = exact(or, natural((a, b, c) => Math.max(a, c), -EXACT)), or1 = exact(or, natural((a, b, c, d) => above(Math.max(b, d)), EXACT));
  const xor0 = exact(xor, natural(() => 0, -EXACT)), xor1 = exact(xor, natural((a, b, c, d) => above(Math.max(b, d)), EXACT));

  // -- words --------------------------------------------------------------------------------------------------------------

  function text(value, type, spec) {
    if (value?.data) return `an array of shape (${value.shape.join(", ")}${value.shape.length === 1 ? "," : ""})`;
    if (type === "bool") return value ? "True" : "False";
    if (type === "float" && Number.isInteger(value)) return value.toFixed(1);
    return spec === "," ? String(value).replace(/\B(?=(\d{3})+$)/g, ",") : String(value);
  }

  return {
    safe, div, mod, and, or, xor, not, bit_length, round,
    table, each, at, repeat, arange, flatnonzero, cumsum, sum,
    all: (t) => t.data.every(Boolean), any: (t) => t.data.some(Boolean),
    max: (t) => t.data.reduce((a, b) => Math.max(a, b)), min: (t) => t.data.reduce((a, b) => Math.min(a, b)),
    minimum: Math.min, maximum: Math.max,
    least: extreme("low", Math.min), most: extreme("high", Math.max),
    words, bits, bits0: (b) => (b < 0 ? 0 : b), bits1: (b) => (b < 0 ? 2 ** 31 - 1 : b),
    both, either, neither, one, equal, unequal, abs0, mul0, mul1, div0, div1, mod0, mod1,
    and0, and1, or0, or1, xor0, xor1, text,
    refuse() {
      throw new Refused("this page cannot follow the mask with these parameters");
    },
    beyond(fields, most) {
      throw new Refused(`${fields}: this page has the mask for numbers up to ${most} here; Python has it for any`);
    },
  };
})();

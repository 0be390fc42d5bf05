// What a mask amounts to: the spans of a row, the shares of a picture, counts of pairs and blocks. All of it asks boxes
// and halves those that are not known, so that it takes time by the ends of intervals and not by pairs.

const BLOCKED = 1, ALLOWED = 2;
const FEW = 8; // boxes of so many keys are asked pair by pair
const BOXES_PER_LINE = 160; // of a picture, for shares; what is left then is sampled
const BOXES_PER_PIXEL = 64; // of a picture that is made in the background

/** The keys of a row that are allowed, as [first, behind] in order; `whole` is false where there were more than `most`. */
function spansOf(mask, indices, most = 200) {
  const keys = mask.shape.at(-1), found = [];
  const code = mask.box(...indices, ...indices.slice(-1)), allows = mask.row(...indices);
  let whole = true;
  const add = (lo, hi) => {
    if (found.length && found.at(-1)[1] === lo) found.at(-1)[1] = hi;
    else if (found.length < most) found.push([lo, hi]);
    else whole = false;
  };
  const visit = (lo, hi) => {
    if (!whole) return;
    if (hi - lo < FEW) {
      for (let k = lo; k <= hi; k++) if (allows(k)) add(k, k + 1);
      return;
    }
    const found = code(lo, hi);
    if (found === BLOCKED) return;
    if (found === ALLOWED) return add(lo, hi + 1);
    const middle = Math.floor((lo + hi) / 2);
    visit(lo, middle);
    visit(middle + 1, hi);
  };
  visit(0, keys - 1);
  return { spans: found, whole };
}

/** How many of the keys lo..hi a row allows. Beyond `budget` boxes, or `each` of a pixel, the rest is estimated. */
class Counter {
  constructor(budget, samples = FEW, each = 0) {
    Object.assign(this, { budget, samples, each, left: budget, exact: true });
  }

  row(code, allows, lo, hi) {
    this.left = this.budget;
    return this.visit(code, allows, lo, hi);
  }

  visit(code, allows, lo, hi) {
    if (--this.left < 0 && hi - lo >= this.samples) return this.sampled(allows, lo, hi);
    if (hi - lo < FEW) {
      let count = 0;
      for (let k = lo; k <= hi; k++) if (allows(k)) count++;
      return count;
    }
    const found = code(lo, hi);
    if (found === BLOCKED) return 0;
    if (found === ALLOWED) return hi - lo + 1;
    const middle = Math.floor((lo + hi) / 2);
    return this.visit(code, allows, lo, middle) + this.visit(code, allows, middle + 1, hi);
  }

  sampled(allows, lo, hi) {
    const size = hi - lo + 1, { samples } = this, step = size / samples;
    this.exact = false;
    let count = 0;
    for (let i = 0; i < samples; i++) {
      const jitter = (Math.imul(lo + i, 0x9e3779b1) >>> 0) / 4294967296;
      if (allows(lo + Math.floor((i + jitter) * step))) count++;
    }
    return (count * size) / samples;
  }
}

/** The shares of one query: `edge` are the keys at which pixels begin, and behind the last. */
function lineOf(mask, indices, edge, counter, shares, at) {
  const code = mask.box(...indices, ...indices.slice(-1)), allows = mask.row(...indices);
  counter.left = counter.budget;
  const fill = (a, b) => {
    const lo = edge[a], hi = edge[b] - 1;
    if (b - a === 1) {
      if (counter.each) counter.left = counter.each;
      shares[at + a] = lo === hi ? +allows(lo) : counter.visit(code, allows, lo, hi) / (hi - lo + 1);
      return;
    }
    const found = --counter.left < 0 ? 3 : code(lo, hi);
    if (found !== 3) return void shares.fill(found === ALLOWED ? 1 : 0, at + a, at + b);
    const middle = (a + b) >> 1;
    fill(a, middle);
    fill(middle, b);
  };
  fill(0, edge.length - 1);
}

/** The keys at which so many pixels of a view begin, and the one behind the last. */
const edges = (k0, k1, columns) => Float64Array.from({ length: columns + 1 }, (_, c) => k0 + Math.floor((c * (k1 - k0)) / columns));

/**
 * The share of allowed pairs under each pixel, of the queries q0..q1 and keys k0..k1 (behind the last): of all keys of a
 * pixel, and of one of its queries. `shares` is in rows. Where it would take longer than `limit` milliseconds, a query
 * stands for several lines. `lines` were computed; `sampled` tells whether that is less than every pair.
 */
function picture(mask, leading, [q0, q1, k0, k1], rows, columns, shares, limit = Infinity, clock = () => performance.now()) {
  const height = q1 - q0, start = clock(), edge = edges(k0, k1, columns), every = height <= rows;
  const counter = new Counter(k1 - k0 > columns ? BOXES_PER_LINE : Infinity, 2);
  let lines = 0, each = 1;
  for (let y = 0; y < rows; y += each) {
    if (!every && lines % 4 === 3) each = Math.max(1, Math.ceil(((clock() - start) / lines) * ((rows - y) / Math.max(limit - clock() + start, 0.5))));
    const query = q0 + Math.min(Math.floor(((y + each / 2) * height) / rows), height - 1), line = y * columns;
    lineOf(mask, mask.axes.length < 2 ? [] : [...leading, query], edge, counter, shares, line);
    lines++;
    for (let below = y + 1; below < Math.min(y + each, rows); below++) shares.copyWithin(below * columns, line, line + columns);
  }
  return { lines, sampled: height > lines || !counter.exact };
}

/** The same without a limit and with more samples, a line at a time. */
function* finePicture(mask, leading, [q0, q1, k0, k1], rows, columns, shares) {
  const counter = new Counter(0, 2 * FEW, BOXES_PER_PIXEL), edge = edges(k0, k1, columns);
  for (let y = 0; y < rows; y++) {
    const query = q0 + Math.floor(((y + 0.5) * (q1 - q0)) / rows);
    lineOf(mask, mask.axes.length < 2 ? [] : [...leading, query], edge, counter, shares, y * columns);
    yield;
  }
}

// Rows in an order whose beginnings are spread evenly, whatever their number.
function* spread(n) {
  const gcd = (a, b) => (b ? gcd(b, a % b) : a);
  let step = Math.max(1, Math.round(n * 0.6180339887));
  while (gcd(step, n) > 1) step++;
  for (let i = 0, row = 0; i < n; i++, row = (row + step) % n) yield row;
}

function* planesOf(mask) {
  const sizes = mask.shape.slice(0, -2), indices = sizes.map(() => 0);
  for (;;) {
    yield [...indices];
    let axis = sizes.length - 1;
    for (; axis >= 0 && ++indices[axis] === sizes[axis]; axis--) indices[axis] = 0;
    if (axis < 0) return;
  }
}

/** The code of a block, proven: halved until a pair of each kind was met, or all are of one. */
function classified(mask, leading, q0, q1, k0, k1) {
  const code = mask.box(...leading, q0, q1)(k0, k1);
  if (code !== 3) return code;
  const first = mask.row(...leading, q0), last = mask.row(...leading, q1);
  const seen = [first(k0), first(k1), last(k0), last(k1)];
  if (seen.includes(true) && seen.includes(false)) return 3;
  let found = 0;
  if (q1 - q0 >= k1 - k0) {
    const middle = Math.floor((q0 + q1) / 2);
    found = classified(mask, leading, q0, middle, k0, k1);
    return found === 3 ? 3 : found | classified(mask, leading, middle + 1, q1, k0, k1);
  }
  const middle = Math.floor((k0 + k1) / 2);
  found = classified(mask, leading, q0, q1, k0, middle);
  return found === 3 ? 3 : found | classified(mask, leading, q0, q1, middle + 1, k1);
}

/** The empty, partial and full blocks of a row of blocks; one that overhangs the edge is never full. */
function blocksOfRow(mask, leading, row, size, counts) {
  const [queries, keys] = mask.shape.slice(-2), columns = Math.ceil(keys / size);
  const q0 = row * size, q1 = Math.min(q0 + size, queries) - 1, whole = Math.floor(keys / size);
  const code = mask.box(...leading, q0, q1);
  const add = (found, a, b) => {
    if (found === BLOCKED) counts.empty += b - a;
    else if (found === 3 || q1 - q0 + 1 < size) counts.partial += b - a;
    else {
      const full = Math.max(0, Math.min(b, whole) - a);
      counts.full += full;
      counts.partial += b - a - full;
    }
  };
  const visit = (a, b) => {
    const k0 = a * size, k1 = Math.min(b * size, keys) - 1, found = code(k0, k1);
    if (found !== 3) return add(found, a, b);
    if (b - a === 1) return add(classified(mask, leading, q0, q1, k0, k1), a, b);
    const middle = (a + b) >> 1;
    visit(a, middle);
    visit(middle, b);
  };
  visit(0, columns);
}

/**
 * Counts, a piece at a time: `next(deadline)` goes on until then, and `result()` tells what is known so far. Rows, and rows
 * of blocks, that were not reached in `limit` milliseconds are taken to be like those that were.
 */
class Measuring {
  constructor(mask, blockSize, limit = 1200) {
    this.mask = mask;
    this.limit = limit;
    this.size = blockSize;
    this.spent = 0;
    this.counter = new Counter(limit === Infinity ? Infinity : 4096);
    this.rows = mask.axes.length > 1 ? mask.shape.at(-2) : 1;
    this.blockRows = isAttention(mask) ? Math.ceil(this.rows / blockSize) : 0;
    this.planes = [...planesOf(mask)];
    this.allowed = this.visited = this.blockedRows = this.visitedBlocks = 0;
    this.blocks = { empty: 0, partial: 0, full: 0 };
    this.steps = this.walk();
  }

  *walk() {
    for (const row of spread(this.blockRows || 1)) {
      if (!this.blockRows) break;
      for (const plane of this.planes) {
        blocksOfRow(this.mask, plane, row, this.size, this.blocks);
        yield;
      }
      this.visitedBlocks++;
      if (this.spent > this.limit / 2) break;
    }
    const keys = this.mask.shape.at(-1);
    for (const row of spread(this.rows)) {
      for (const plane of this.planes) {
        const indices = this.mask.axes.length > 1 ? [...plane, row] : [];
        const count = this.counter.row(this.mask.box(...indices, ...indices.slice(-1)), this.mask.row(...indices), 0, keys - 1);
        this.allowed += count;
        this.blockedRows += count === 0;
        yield;
      }
      this.visited++;
    }
  }

  /** Whether it is done. */
  next(deadline, clock = () => performance.now()) {
    const start = clock();
    let now = start;
    do {
      for (let i = 0; i < 4; i++) if (this.steps.next().done) return (this.done = true);
      now = clock();
    } while (now < deadline);
    this.spent += now - start;
    return (this.done = this.spent > this.limit);
  }

  result() {
    const { rows, visited, counter, blockRows, visitedBlocks, planes } = this;
    const total = this.mask.shape.reduce((a, b) => a * b, 1);
    const share = visited ? rows / visited : 0, blockShare = visitedBlocks ? blockRows / visitedBlocks : 0;
    return {
      total,
      allowed: this.allowed * share,
      blockedRows: this.blockedRows * share,
      exact: visited === rows && counter.exact,
      visited,
      rows,
      planes: planes.length,
      blocks: blockRows ? Object.fromEntries(Object.entries(this.blocks).map(([kind, count]) => [kind, count * blockShare])) : null,
      exactBlocks: visitedBlocks === blockRows,
      visitedBlocks,
      blockRows,
    };
  }
}

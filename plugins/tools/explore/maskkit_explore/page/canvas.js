// The picture: draws shares of allowed pairs, moves, zooms, and tells which pair is under the pointer or the cursor.

const MARGIN = { left: 56, top: 26, right: 10, bottom: 10 };
const MOST_PIXELS = 448; // of the picture along each side; each stands for so many keys, and one of so many queries
const FRAME = 7; // milliseconds for the shares of a picture, so that moving it is smooth

class Canvas {
  constructor(element, onPair, onView) {
    Object.assign(this, { element, onPair, onView, mask: null, leading: [], cursor: null, view: null });
    this.context = element.getContext("2d");
    this.image = document.createElement("canvas");
    this.pointers = new Map();
    const on = (name, act) => element.addEventListener(name, act);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.pointers.delete(event.pointerId));
    on("pointercancel", (event) => this.pointers.delete(event.pointerId));
    on("wheel", (event) => {
      event.preventDefault();
      const at = this.place(event);
      this.zoom(Math.exp(event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), at.x, at.y);
    });
    on("dblclick", (event) => {
      const at = this.place(event);
      this.zoom(0.5, at.x, at.y);
    });
    on("keydown", (event) => this.key(event));
    on("focus", () => this.draw());
    on("blur", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(element.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    addEventListener("beforeprint", () => this.draw(true));
    addEventListener("afterprint", () => this.draw());
  }

  // -- what is shown --------------------------------------------------------------------------------------------------

  show(mask, leading) {
    const same = this.mask && this.mask.shape.slice(-2).join() === mask.shape.slice(-2).join();
    this.mask = mask;
    this.leading = leading;
    this.keys = mask.shape.at(-1);
    this.queries = mask.axes.length > 1 ? mask.shape.at(-2) : 1;
    if (!same || !this.view) this.view = this.all();
    if (this.cursor && (this.cursor.query >= this.queries || this.cursor.key >= this.keys)) this.cursor = null;
    this.draw();
    this.tell();
  }

  all() {
    return { x: 0, y: 0, w: this.keys, h: this.queries };
  }

  fit() {
    this.view = this.all();
    this.draw();
    this.onView();
  }

  set(view) {
    const { keys, queries } = this;
    const w = Math.min(Math.max(view.w, Math.min(4, keys)), keys), h = Math.min(Math.max(view.h, Math.min((4 * queries) / keys, queries), 1), queries);
    this.view = { w, h, x: Math.min(Math.max(view.x, 0), keys - w), y: Math.min(Math.max(view.y, 0), queries - h) };
    this.draw();
    this.onView();
  }

  /** By a factor, around a point of the plot in 0..1. */
  zoom(factor, x = 0.5, y = 0.5) {
    if (!this.view) return;
    const { view, keys, queries } = this;
    const least = Math.min(1, Math.max(4 / view.w, 1 / view.w));
    const by = Math.min(Math.max(factor, least), keys / view.w);
    const w = view.w * by, h = Math.max(Math.min(view.h * by, queries), Math.min(1, queries));
    this.set({ w, h, x: view.x + (view.w - w) * x, y: view.y + (view.h - h) * y });
  }

  // -- pointer and keys -----------------------------------------------------------------------------------------------

  place(event) {
    const box = this.element.getBoundingClientRect();
    return { x: (event.clientX - box.left - MARGIN.left) / this.plot.w, y: (event.clientY - box.top - MARGIN.top) / this.plot.h };
  }

  cell({ x, y }) {
    if (!this.view || x < 0 || y < 0 || x >= 1 || y >= 1) return null;
    const { view } = this;
    return {
      query: Math.min(Math.floor(view.y + y * view.h), this.queries - 1),
      key: Math.min(Math.floor(view.x + x * view.w), this.keys - 1),
    };
  }

  down(event) {
    this.element.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.place(event));
    this.point(this.cell(this.place(event)));
  }

  move(event) {
    const now = this.place(event), before = this.pointers.get(event.pointerId);
    if (!before) return event.pointerType === "touch" ? undefined : this.point(this.cell(now));
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const far = (a, b) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
      this.zoom(far(before, other) / far(now, other), (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else {
      const { view } = this;
      this.set({ ...view, x: view.x - (now.x - before.x) * view.w, y: view.y - (now.y - before.y) * view.h });
    }
    this.pointers.set(event.pointerId, now);
  }

  key(event) {
    const { key } = event, far = event.shiftKey ? 16 : 1;
    const steps = { ArrowUp: [-far, 0], ArrowDown: [far, 0], ArrowLeft: [0, -far], ArrowRight: [0, far] };
    if (key === "+" || key === "=") this.zoomAtCursor(0.5);
    else if (key === "-") this.zoomAtCursor(2);
    else if (key === "0") this.fit();
    else if (key in steps) {
      const from = this.cursor ?? { query: Math.floor(this.view.y + this.view.h / 2), key: Math.floor(this.view.x + this.view.w / 2) };
      const within = (i, most) => Math.min(Math.max(i, 0), most - 1);
      this.point({ query: within(from.query + steps[key][0], this.queries), key: within(from.key + steps[key][1], this.keys) }, true);
    } else return;
    event.preventDefault();
  }

  zoomAtCursor(factor) {
    const { cursor, view } = this;
    if (!cursor) return this.zoom(factor);
    const inside = (a, b) => Math.min(Math.max(a, 0), b);
    this.zoom(factor, inside((cursor.key + 0.5 - view.x) / view.w, 1), inside((cursor.query + 0.5 - view.y) / view.h, 1));
  }

  point(cell, follow = false) {
    if (cell && this.cursor && cell.query === this.cursor.query && cell.key === this.cursor.key) return;
    if (!cell && !follow) return;
    this.cursor = cell;
    if (follow) {
      const { view } = this, into = (at, i, size) => Math.min(Math.max(at, i + 1 - size), i);
      this.set({ ...view, x: into(view.x, cell.key, view.w), y: into(view.y, cell.query, view.h) });
    } else this.draw();
    this.tell();
  }

  tell() {
    this.onPair(this.cursor);
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  draw(now = false) {
    if (now) return this.paint();
    this.waiting ??= requestAnimationFrame(() => this.paint());
  }

  paint() {
    if (this.waiting) cancelAnimationFrame(this.waiting);
    this.waiting = null;
    if (!this.mask) return;
    const start = performance.now();
    this.size();
    const { context, plot } = this, ratio = this.ratio, colours = this.colours();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.element.width, this.element.height);
    try {
      this.fill(colours);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      context.fillStyle = colours.quiet;
      context.fillText(error.message, MARGIN.left, MARGIN.top + 20);
      return;
    }
    context.save();
    context.beginPath();
    context.rect(MARGIN.left, MARGIN.top, plot.w, plot.h);
    context.clip();
    this.grid(colours);
    this.mark(colours);
    context.restore();
    this.axes(colours);
    this.drawn = performance.now() - start;
    document.getElementById("scale").textContent = this.scale();
  }

  size() {
    const width = this.element.parentElement.clientWidth, most = Math.min(innerHeight * 0.78, 760);
    const plotWidth = Math.max(width - MARGIN.left - MARGIN.right, 40);
    const shape = Math.min(Math.max(this.queries / this.keys, 0.06), 1.25);
    const w = Math.min(plotWidth, Math.max(most / Math.max(shape, 0.2), 200)), h = Math.max(w * shape, 24);
    this.plot = { w, h };
    this.ratio = Math.max(devicePixelRatio || 1, 1);
    const wide = Math.round(width * this.ratio), high = Math.round((h + MARGIN.top + MARGIN.bottom) * this.ratio);
    if (this.element.width !== wide || this.element.height !== high) {
      this.element.width = wide;
      this.element.height = high;
      this.element.style.height = `${h + MARGIN.top + MARGIN.bottom}px`;
    }
  }

  colours() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    return { allowed: of("allowed"), blocked: of("blocked"), ink: of("ink"), quiet: of("quiet"), grid: of("grid"), accent: of("accent"), panel: of("panel") };
  }

  fill(colours) {
    const { view, plot } = this;
    const k0 = Math.floor(view.x), k1 = Math.min(Math.ceil(view.x + view.w), this.keys);
    const q0 = Math.floor(view.y), q1 = Math.min(Math.ceil(view.y + view.h), this.queries);
    const columns = Math.min(k1 - k0, MOST_PIXELS, Math.ceil(plot.w)), rows = Math.min(q1 - q0, MOST_PIXELS, Math.ceil(plot.h));
    const part = [q0, q1, k0, k1], key = [...part, rows, columns, ...this.leading].join();
    if (this.fine?.mask !== this.mask || this.fine.key !== key) {
      const shares = new Float32Array(rows * columns);
      const { sampled, lines } = picture(this.mask, this.leading, part, rows, columns, shares, FRAME);
      this.step = { sampled, keys: (k1 - k0) / columns, queries: (q1 - q0) / lines };
      this.fine = { mask: this.mask, key, shares, columns, rows, part };
      clearTimeout(this.refining);
      if (sampled) this.refining = setTimeout(() => this.refine(this.fine), 160);
    }
    this.put(colours, this.fine);
  }

  /** In the background, a better picture of what is there. */
  refine(of) {
    const { mask, part, rows, columns } = of, shares = new Float32Array(rows * columns);
    const steps = finePicture(mask, this.leading, part, rows, columns, shares);
    const go = () => {
      if (this.fine !== of) return;
      for (const end = performance.now() + 8; performance.now() < end; )
        if (steps.next().done) {
          of.shares = shares;
          this.step.queries = (part[1] - part[0]) / rows;
          return this.draw();
        }
      this.refining = setTimeout(go);
    };
    go();
  }

  put(colours, { shares, columns, rows, part: [q0, q1, k0, k1] }) {
    const { view, plot, context } = this;
    const data = new ImageData(columns, rows), low = rgb(colours.blocked), high = rgb(colours.allowed);
    const words = new Uint32Array(data.data.buffer), tones = Uint32Array.from({ length: 256 }, (_, i) => {
      const t = i && 0.16 + (0.84 * i) / 255; // whatever allows something is seen
      const mixed = low.map((from, c) => Math.round(from + (high[c] - from) * t));
      return (255 << 24) | (mixed[2] << 16) | (mixed[1] << 8) | mixed[0];
    });
    for (let i = 0; i < shares.length; i++) words[i] = tones[shares[i] > 0 ? Math.max(1, Math.round(shares[i] * 255)) : 0];
    this.image.width = columns;
    this.image.height = rows;
    this.image.getContext("2d").putImageData(data, 0, 0);
    const x = plot.w / view.w, y = plot.h / view.h;
    context.save();
    context.beginPath();
    context.rect(MARGIN.left, MARGIN.top, plot.w, plot.h);
    context.clip();
    context.imageSmoothingEnabled = columns > plot.w;
    context.drawImage(this.image, MARGIN.left + (k0 - view.x) * x, MARGIN.top + (q0 - view.y) * y, (k1 - k0) * x, (q1 - q0) * y);
    context.restore();
  }

  grid(colours) {
    const { view, plot, context } = this, x = plot.w / view.w, y = plot.h / view.h;
    context.lineWidth = 1;
    context.strokeStyle = colours.panel;
    context.beginPath();
    if (x >= 7) for (let k = Math.ceil(view.x); k < view.x + view.w; k++) this.line((k - view.x) * x, 0, (k - view.x) * x, plot.h);
    if (y >= 7) for (let q = Math.ceil(view.y); q < view.y + view.h; q++) this.line(0, (q - view.y) * y, plot.w, (q - view.y) * y);
    context.stroke();
  }

  line(a, b, c, d) {
    const left = MARGIN.left, top = MARGIN.top, sharp = (v) => Math.round(v) + 0.5;
    this.context.moveTo(a === c ? sharp(left + a) : left + a, b === d ? sharp(top + b) : top + b);
    this.context.lineTo(a === c ? sharp(left + c) : left + c, b === d ? sharp(top + d) : top + d);
  }

  mark(colours) {
    const { cursor, view, plot, context } = this;
    if (!cursor) return;
    const x = plot.w / view.w, y = plot.h / view.h, w = Math.max(x, 1), h = Math.max(y, 1);
    const left = MARGIN.left + (cursor.key - view.x) * x, top = MARGIN.top + (cursor.query - view.y) * y;
    context.fillStyle = colours.ink;
    context.globalAlpha = 0.1;
    context.fillRect(MARGIN.left, top, plot.w, h);
    context.fillRect(left, MARGIN.top, w, plot.h);
    context.globalAlpha = 1;
    const side = Math.max(w, 7), high = Math.max(h, 7);
    context.lineWidth = 2;
    context.strokeStyle = colours.panel;
    context.strokeRect(left + w / 2 - side / 2 - 1, top + h / 2 - high / 2 - 1, side + 2, high + 2);
    context.strokeStyle = colours.ink;
    context.strokeRect(left + w / 2 - side / 2, top + h / 2 - high / 2, side, high);
  }

  axes(colours) {
    const { context, plot, view, mask } = this;
    context.strokeStyle = colours.grid;
    context.lineWidth = 1;
    context.strokeRect(MARGIN.left - 0.5, MARGIN.top - 0.5, plot.w + 1, plot.h + 1);
    context.fillStyle = colours.quiet;
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    const across = mask.axes.at(-1), down = mask.axes.length > 1 ? mask.axes.at(-2) : "";
    context.textAlign = "left";
    context.fillText(down ? `${down} \u2193` : "", 0, MARGIN.top - 12);
    const word = `${across} \u2192`, room = context.measureText(word).width + 10;
    context.textAlign = "left";
    context.fillText(word, MARGIN.left, MARGIN.top - 12);
    this.ticks(view.x, view.w, plot.w, 84, (at, text, last) => {
      const half = context.measureText(text).width / 2;
      context.textAlign = last ? "right" : "center";
      if (at - half > room) context.fillText(text, MARGIN.left + at, MARGIN.top - 12);
    });
    context.textAlign = "right";
    if (down) this.ticks(view.y, view.h, plot.h, 56, (at, text) => context.fillText(text, MARGIN.left - 7, MARGIN.top + Math.min(Math.max(at, 6), plot.h - 6)));
  }

  ticks(start, size, pixels, apart, put) {
    const rough = (size * apart) / pixels, power = 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(rough, 1))));
    const first = Math.ceil(start / power) * power;
    for (let i = first; i < start + size; i += power) {
      const middle = pixels / size >= 7 ? 0.5 : 0, at = ((i + middle - start) / size) * pixels;
      if (at > pixels - 8) break;
      put(at, number(i), at > pixels - 24);
    }
  }

  scale() {
    const { step, queries, keys } = this;
    if (!step.sampled) return `${number(queries)} x ${number(keys)}, every pair as it is`;
    const one = (x) => (x < 10 ? x.toFixed(1) : number(Math.round(x)));
    const rows = step.queries > 1 ? `sampled: each line of the picture is one query of ${one(step.queries)}` : "";
    const columns = step.keys > 1 ? `each dot the share of ${one(step.keys)} keys` : "";
    return `${number(queries)} x ${number(keys)}; ${[rows, columns].filter(Boolean).join(", ") || "some shares are estimated"}`;
  }
}

function rgb(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

// A map on a canvas: drawing, zoom, hover, the keyboard, the lasso.
const styled = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let paint = {};
const FIELD = 0.94; // of a cell that is filled

class Panel {
  constructor(map, way) {
    this.view = { scale: 0, x: 0, y: 0 };
    this.width = this.height = 0;
    this.pointers = new Map();
    this.colour = make("select", { onchange: () => this.show(this.map, this.colour.value) });
    this.trail = make("nav", { class: "trail", "aria-label": "Way down the maps" });
    this.canvas = make("canvas", { tabindex: "0", role: "application", "aria-roledescription": "map", "aria-describedby": "keys" });
    this.box = make("div", { class: "stage" }, this.canvas);
    this.ground = make("canvas"); // cells and what is lit, drawn anew when they change and not when one is pointed at
    this.key = make("div", { class: "legend", role: "group", tabindex: "0", "aria-label": "Legend of the map" });
    const zoom = (text, told, act) => make("button", { type: "button", "aria-label": told, title: told, onclick: act }, text);
    const bar = make("div", { class: "bar" }, make("label", {}, "Colour ", this.colour),
      make("span", { class: "tools" }, zoom("+", "Zoom in", () => this.zoom(1.4)), zoom("−", "Zoom out", () => this.zoom(1 / 1.4)), zoom("⤢", "Show the whole map", () => this.fit())));
    this.element = make("section", { class: "panel", "aria-label": "Map" }, bar, this.trail, this.box, this.key);
    let group = null;
    for (const one of [...ways.values()].sort((a, b) => order(a) - order(b))) {
      if (!group || group.label !== one.group) this.colour.append((group = make("optgroup", { label: one.group })));
      group.append(make("option", { value: one.id }, one.name));
    }
    listen(this);
    this.show(map, way);
    new ResizeObserver(() => this.resize()).observe(this.box);
  }

  show(map, way) {
    const other = map !== this.map;
    this.map = map;
    this.way = ways.get(way);
    this.colour.value = way;
    this.refill();
    this.canvas.setAttribute("aria-label", `${this.named()}: ${map.n} neurons, coloured by ${this.way.name}`);
    this.lead();
    if (other) this.fit();
    changedMap();
    redraw();
  }

  refill() {
    this.fill = filled(this.way, this.map);
    legend(this.key, this.way, this.fill, this.map);
  }

  named() {
    return this.map.above ? `Child map of neuron ${this.map.above[1]}` : "Map";
  }

  lead() {
    this.trail.replaceChildren();
    this.trail.hidden = maps.length === 1;
    if (this.trail.hidden) return;
    const steps = [];
    for (let map = this.map; map; map = map.above ? maps[map.above[0]] : null) steps.unshift(map);
    steps.forEach((map, i) => {
      const text = map.above ? `Neuron ${map.above[1]}` : "Whole map";
      if (i) this.trail.append(" › ");
      this.trail.append(map === this.map ? make("b", {}, text) : make("button", { type: "button", class: "quiet", onclick: () => this.show(map, this.way.id) }, text));
    });
    if (this.map.child.some((one) => one >= 0)) this.trail.append(make("span", { class: "hint" }, " · a small grid in its corner marks a neuron with a child map"));
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    [this.width, this.height] = [this.box.clientWidth, this.box.clientHeight]; // asked for anew they cost a layout
    for (const one of [this.canvas, this.ground]) {
      one.width = Math.round(this.width * ratio);
      one.height = Math.round(this.height * ratio);
    }
    this.fit();
  }

  bounds() {
    const { x, y, corners } = this.map;
    const reach = (axis, end) => end(...corners.map((corner) => corner[axis]));
    return [Math.min(...x) + reach(0, Math.min), Math.min(...y) + reach(1, Math.min), Math.max(...x) + reach(0, Math.max), Math.max(...y) + reach(1, Math.max)];
  }

  fit() {
    const [left, top, right, bottom] = this.bounds();
    const [w, h] = [this.width, this.height];
    const scale = Math.min((w - 24) / (right - left), (h - 24) / (bottom - top), 110);
    this.view = { scale, x: w / 2 - (scale * (left + right)) / 2, y: h / 2 - (scale * (top + bottom)) / 2 };
    this.least = scale / 2;
    redraw();
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.max(this.least, Math.min(400, this.view.scale * factor));
    const by = scale / this.view.scale;
    this.view = { scale, x: x - by * (x - this.view.x), y: y - by * (y - this.view.y) };
    redraw();
  }

  place(k) {
    return [this.view.x + this.view.scale * this.map.x[k], this.view.y + this.view.scale * this.map.y[k]];
  }

  // The neuron whose cell holds a point: of the cells of a grid it is the one with the nearest centre.
  neuronAt(px, py) {
    const [x, y] = [(px - this.view.x) / this.view.scale, (py - this.view.y) / this.view.scale];
    let [best, least] = [-1, Infinity];
    for (let k = 0; k < this.map.n; k++) {
      const d = (this.map.x[k] - x) ** 2 + (this.map.y[k] - y) ** 2;
      if (d < least) [best, least] = [k, d];
    }
    return best >= 0 && within(0.999 * (x - this.map.x[best]), 0.999 * (y - this.map.y[best]), this.map.corners) ? best : -1;
  }

  path(pen, k, size = FIELD) {
    const [x, y] = this.place(k);
    const by = size * this.view.scale;
    pen.beginPath();
    this.map.corners.forEach(([dx, dy], i) => (i ? pen.lineTo(x + by * dx, y + by * dy) : pen.moveTo(x + by * dx, y + by * dy)));
    pen.closePath();
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const pen = this.canvas.getContext("2d");
    const { map } = this;
    this.drawGround(ratio);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (this.ground.width && this.ground.height) pen.drawImage(this.ground, 0, 0);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (state.at) {
      if (state.at.map === map) this.outline(pen, state.at.neuron, paint.accent, 3);
      else this.passed(pen);
    }
    if (this.rope) this.drawRope(pen);
  }

  drawGround(ratio) {
    const { map, view, ground } = this;
    const shows = [map, this.fill, state.epoch, paint, ratio, view.scale, view.x, view.y, ground.width, ground.height, state.lit, state.chosenOn, state.chosen, state.picked];
    if (this.shows?.every((one, i) => one === shows[i])) return;
    this.shows = shows;
    const pen = ground.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, ground.width, ground.height);
    for (let k = 0; k < map.n; k++) {
      const [x, y] = this.place(k);
      if (x < -view.scale || y < -view.scale || x > this.width + view.scale || y > this.height + view.scale) continue;
      if (state.epoch !== null && map.values.birth[k] > state.epoch) {
        this.outline(pen, k, paint.faint, 1);
        continue;
      }
      this.cell(pen, k, x, y);
      if (map.child[k] >= 0) dots(pen, x, y, view.scale, map.corners);
      if (state.epoch > 0 && map.values.birth[k] === state.epoch) this.outline(pen, k, paint.accent, 2);
    }
    if (this.way.id === "clusters" && state.picked.size) groupsOf(map).forEach((place, k) => { if (state.picked.has(place)) this.outline(pen, k, paint.ink, view.scale > 24 ? 2 : 1.5); });
    if (state.chosenOn === map) for (const k of state.chosen) this.outline(pen, k, paint.link, 3);
    for (const [k, part] of this.marks()) this.spot(pen, k, part);
  }

  cell(pen, k, x, y) {
    const { map, way, view } = this;
    const colour = this.fill.colours[k];
    const won = map.values.hits[k] > 0;
    this.path(pen, k);
    pen.fillStyle = colour ? css(colour) : paint.empty;
    pen.globalAlpha = colour && !won && way.kind !== "number" ? 0.25 : 1;
    pen.fill();
    pen.globalAlpha = 1;
    if (way.kind === "pies") pie(pen, x, y, 0.4 * view.scale, map, k);
    if (way.kind === "images") {
      const { sheet, left, top, width, height } = imageOf(map, k);
      const by = (0.86 * view.scale * inner(map.corners)) / Math.max(width, height);
      pen.imageSmoothingEnabled = false;
      pen.drawImage(sheet, left, top, width, height, x - (by * width) / 2, y - (by * height) / 2, by * width, by * height);
    }
    if (!won || (!colour && way.kind === "number")) this.hatch(pen, k);
    else if (colour && way.kind === "categories" && view.scale > 20) write(pen, way.text(map, k), x, y, view.scale, inkOn(colour));
  }

  hatch(pen, k) {
    pen.save();
    this.path(pen, k);
    pen.clip();
    const [x, y] = this.place(k);
    pen.strokeStyle = paint.muted;
    pen.globalAlpha = 0.6;
    pen.lineWidth = 1;
    pen.beginPath();
    const step = Math.max(4, this.view.scale / 7);
    for (let at = -this.view.scale; at <= this.view.scale; at += step) {
      pen.moveTo(x + at - this.view.scale, y + this.view.scale);
      pen.lineTo(x + at + this.view.scale, y - this.view.scale);
    }
    pen.stroke();
    pen.restore();
  }

  outline(pen, k, colour, width) {
    this.path(pen, k);
    for (const [stroke, wide] of width < 2 ? [[colour, width]] : [[paint.paper, width + 3], [colour, width]]) {
      pen.strokeStyle = stroke;
      pen.lineWidth = wide;
      pen.stroke();
    }
  }

  // Neurons with samples that are lit, and which part of their samples those are.
  marks() {
    if (!state.lit || state.chosenOn === this.map) return []; // those are outlined
    const unit = unitsOf(this.map);
    const counted = new Map();
    for (const sample of state.lit) if (unit[sample] >= 0) counted.set(unit[sample], (counted.get(unit[sample]) ?? 0) + 1);
    return [...counted].map(([k, n]) => [k, n / this.map.of[k].length]);
  }

  spot(pen, k, part) {
    const [x, y] = this.place(k);
    pen.beginPath();
    pen.arc(x, y, Math.max(2.5, this.view.scale * (0.08 + 0.2 * Math.sqrt(part))), 0, 2 * Math.PI);
    pen.fillStyle = paint.accent;
    pen.fill();
    pen.strokeStyle = paint.paper;
    pen.lineWidth = 1.5;
    pen.stroke();
  }

  // Where the samples of the neuron that was looked at on another map of the tree pass this one.
  passed(pen) {
    const unit = unitsOf(this.map);
    const seen = new Set();
    for (const sample of samplesOf(state.at.map, state.at.neuron)) if (unit[sample] >= 0) seen.add(unit[sample]);
    for (const k of seen) this.outline(pen, k, paint.accent, 3);
  }

  drawRope(pen) {
    pen.beginPath();
    this.rope.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
    pen.strokeStyle = paint.link;
    pen.lineWidth = 1.5;
    pen.stroke();
    pen.fillStyle = paint.link;
    pen.globalAlpha = 0.15;
    pen.fill();
    pen.globalAlpha = 1;
  }
}

const order = (way) => ["Map", "Measures", "Share of class", "Beside the samples", "Variable"].indexOf(way.group);
const inner = (corners) => 2 * Math.min(...corners.map(([x, y], i) => {
  const [a, b] = corners[(i + 1) % corners.length];
  return Math.abs(x * b - a * y) / Math.hypot(a - x, b - y); // from the centre to a side
})) / Math.SQRT2 * (corners.length === 4 ? Math.SQRT2 : 1.1);

function within(x, y, corners) {
  let inside = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
    const [[ax, ay], [bx, by]] = [corners[i], corners[j]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

function pie(pen, x, y, radius, map, k) {
  let from = -Math.PI / 2;
  told.classes.forEach((_, i) => {
    const part = map.shares[k * told.classes.length + i];
    if (!part || !map.values.hits[k]) return;
    pen.beginPath();
    pen.moveTo(x, y);
    pen.arc(x, y, radius, from, (from += 2 * Math.PI * part));
    pen.fillStyle = css(told.palette[i]);
    pen.fill();
  });
}

function dots(pen, x, y, scale, corners) {
  // Towards the uppermost corner, of several the right one: inside of squares and of hexagons.
  const [cx, cy] = corners.reduce((one, other) => (other[1] < one[1] - 1e-9 || (other[1] < one[1] + 1e-9 && other[0] > one[0]) ? other : one));
  const inwards = 1 - 0.23 / Math.hypot(cx, cy);
  pen.fillStyle = paint.ink;
  for (const [dx, dy] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
    const size = Math.max(1.5, 0.07 * scale);
    const [px, py] = [x + (inwards * cx - 0.085 + 0.1 * dx) * scale, y + (inwards * cy - 0.085 + 0.1 * dy) * scale];
    pen.fillRect(px - 1, py - 1, size + 2, size + 2);
    pen.fillStyle = paint.paper;
    pen.fillRect(px, py, size, size);
    pen.fillStyle = paint.ink;
  }
}

function write(pen, text, x, y, scale, colour) {
  if (!text) return;
  pen.font = `${Math.min(14, 0.36 * scale)}px system-ui, sans-serif`;
  let cut = text;
  while (cut.length > 1 && pen.measureText(cut === text ? cut : `${cut}…`).width > 0.84 * scale) cut = cut.slice(0, -1);
  pen.fillStyle = colour;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(cut === text ? cut : `${cut}…`, x, y);
}

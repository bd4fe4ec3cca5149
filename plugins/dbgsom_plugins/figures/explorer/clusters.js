// Clusters of neurons: the dendrogram and where it is cut.
const cuts = new Map(); // of each map, the one that was asked for last

// The cluster of each neuron (by its first neuron 0, 1, …) when `count` are left, -1 without hits.
function clustersOf(map, count) {
  if (cuts.get(map)?.count === count) return cuts.get(map).found;
  const joins = map.joins.length / 2;
  const above = Int32Array.from({ length: map.n + joins }, (_, i) => i);
  for (let i = 0; i <= joins - count; i++) above[map.joins[2 * i]] = above[map.joins[2 * i + 1]] = map.n + i;
  for (let i = above.length - 1; i >= 0; i--) above[i] = above[above[i]];
  const names = new Map();
  const found = Array.from({ length: map.n }, (_, k) => {
    if (!map.values.hits[k]) return -1;
    if (!names.has(above[k])) names.set(above[k], names.size);
    return names.get(above[k]);
  });
  cuts.set(map, { count, found });
  return found;
}

function tops(map) { // heights that never sink from join to join
  let top = 0;
  return map.heights.map((one) => (top = Math.max(top, one)));
}

function cutInto(count) {
  const { map } = panel;
  state.clusters = Math.max(1, Math.min(count, map.joins.length / 2 + 1));
  byId("cut").value = state.clusters;
  byId("cut-told").textContent = state.clusters;
  if (panel.way.id !== "clusters") panel.show(map, "clusters");
  panel.refill();
  if (state.at) tellNeuron();
  drawTree();
  redraw();
}

function drawTree() {
  const box = byId("dendrogram");
  if (!byId("clusters").open || !box.clientWidth) return;
  const map = panel.map;
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [box.clientWidth, box.clientHeight];
  [box.width, box.height] = [w * ratio, h * ratio];
  const pen = box.getContext("2d");
  pen.scale(ratio, ratio);
  const joins = map.joins.length / 2;
  box.setAttribute("aria-label", `Dendrogram of ${joins + 1} neurons, cut into ${state.clusters} clusters`);
  if (!joins) return;
  const heights = tops(map);
  const highest = heights[joins - 1] || 1;
  const level = (height) => h - 6 - (h - 14) * Math.sqrt(height / highest);
  const place = new Map();
  const visit = [map.n + joins - 1];
  let next = 0;
  while (visit.length) { // leaves from left to right
    const node = visit.pop();
    if (node < map.n) place.set(node, [next++, h - 6]);
    else visit.push(map.joins[2 * (node - map.n) + 1], map.joins[2 * (node - map.n)]);
  }
  const step = (w - 12) / Math.max(1, next - 1);
  const cluster = clustersOf(map, state.clusters);
  const found = new Map();
  pen.lineWidth = 1;
  for (const [leaf] of place) found.set(leaf, cluster[leaf]);
  for (let i = 0; i < joins; i++) {
    const [a, b] = [map.joins[2 * i], map.joins[2 * i + 1]];
    const [[ax, ay], [bx, by]] = [place.get(a), place.get(b)];
    const y = level(heights[i]);
    const kept = i <= joins - state.clusters;
    pen.strokeStyle = kept ? css(told.colours[found.get(a) % told.colours.length]) : paint.muted;
    pen.beginPath();
    pen.moveTo(6 + ax * step, ay);
    pen.lineTo(6 + ax * step, y);
    pen.lineTo(6 + bx * step, y);
    pen.lineTo(6 + bx * step, by);
    pen.stroke();
    place.set(map.n + i, [(ax + bx) / 2, y]);
    found.set(map.n + i, found.get(a));
  }
  const at = joins - state.clusters; // the last join that counts
  const y = (level(at >= 0 ? heights[at] : 0) + level(at + 1 < joins ? heights[at + 1] : highest * 1.05)) / 2;
  pen.strokeStyle = paint.accent;
  pen.setLineDash([5, 4]);
  pen.beginPath();
  pen.moveTo(0, y);
  pen.lineTo(w, y);
  pen.stroke();
}

function setUpClusters() {
  const box = byId("dendrogram");
  byId("cut").addEventListener("input", (event) => cutInto(Number(event.target.value)));
  byId("clusters").addEventListener("toggle", drawTree);
  const cutAt = (event) => {
    const map = panel.map;
    const heights = tops(map);
    const h = box.clientHeight;
    const y = event.clientY - box.getBoundingClientRect().top;
    const height = Math.max(0, (h - 6 - y) / (h - 14)) ** 2 * (heights[heights.length - 1] || 1);
    cutInto(1 + heights.filter((one) => one > height).length);
  };
  box.addEventListener("pointerdown", (event) => { box.setPointerCapture(event.pointerId); cutAt(event); });
  box.addEventListener("pointermove", (event) => event.buttons && cutAt(event));
}

// Puts the page together.
function dressUp(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
  paint = Object.fromEntries(["paper", "ink", "muted", "faint", "accent", "link", "empty"].map((name) => [name, styled(`--${name}`)]));
  drawTree();
  redraw();
}

// What depends on the map that is shown.
function changedMap() {
  if (!panel) return;
  const { map } = panel;
  byId("epoch").max = lastEpoch(map);
  if (state.epoch !== null) toEpoch(Math.min(state.epoch, lastEpoch(map)));
  fillPlanes();
  fillTable();
}

// Of two classes the share of the rarer one says more than two colours.
function rarerShare() {
  if (told.classes.length !== 2) return null;
  const counts = [0, 0];
  samples.codes.forEach((code) => { if (code) counts[code - 1] += 1; });
  return `class ${counts[0] < counts[1] ? 0 : 1}`;
}

function begin() {
  const { title, summary } = told;
  document.title = `${title || "Map"} · explorer`;
  byId("title").textContent = title || "Map explorer";
  byId("summary").textContent = summary;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  dressUp(dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => dressUp(dark.matches ? "dark" : "light"));
  byId("theme").addEventListener("click", () => dressUp(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  byId("lasso").addEventListener("click", (event) => {
    ropes = !ropes;
    event.currentTarget.setAttribute("aria-pressed", String(ropes));
  });
  state.groups = firstGroups();
  setUpSearch();
  setUpExport();
  setUpClusters();
  setUpGrowth();
  byId("planes").addEventListener("toggle", fillPlanes);
  byId("planes-more").addEventListener("click", () => { planes *= 3; fillPlanes(); });
  byId("table").addEventListener("toggle", fillTable);
  const notes = [...told.notes, told.units ? "Values are those of the data; distances are those of the map, after the prepare steps." : "Values are those that the map sees: after the prepare steps, in the metric's space.",
    "This page needs no network and keeps nothing."];
  byId("notes-list").append(...notes.map((one) => make("li", {}, one)));
  if (told.notes.length) byId("notes").open = true;
  const first = [rarerShare(), grouped ? "clusters" : "label", "images", "similarity"].find((one) => ways.has(one));
  panel = new Panel(maps[0], first);
  byId("panel").append(panel.element);
  changedMap();
  fillGroups();
  if (grouped) [byId("clusters").open, byId("find").open] = [true, false]; // with the neuron all on one screen
}

begin();

// Prototypes of past epochs, which are unpacked when the growth is looked at.
const CODES = 64; // of a value: 0 for none, then equal steps
const films = models.map(() => null);

async function unpackFilm(m) {
  const { film } = models[m];
  if (!film || films[m] || typeof DecompressionStream === "undefined") return;
  const packed = Uint8Array.from(atob(film.data), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const codes = new Uint8Array(await new Response(stream).arrayBuffer());
  const columns = film.low.length;
  const frames = [];
  let [from, after] = [0, null];
  for (let f = film.rows.length - 1; f >= 0; f--) { // the last one first, the others as differences to the next
    const rows = film.rows[f];
    const of = codes.slice(from, (from += rows * columns));
    if (after) for (let c = 0; c < columns; c++) for (let k = 0; k < rows; k++) of[c * rows + k] = (of[c * rows + k] + after.of[c * after.rows + k]) % CODES;
    after = frames[f] = { rows, of };
  }
  films[m] = { ...film, frames, images: new Map() };
  tellFilm();
  redraw();
}

// What a map was in the epoch that is shown, null where it is the finished one or nobody knows.
function pastOf(map) {
  const film = films[map.model];
  if (state.epoch === null || !film || map.above || state.epoch >= lastEpoch(map)) return null;
  const frame = Math.max(0, film.epochs.findLastIndex((epoch) => epoch <= state.epoch));
  const at = (k, column) => {
    const { rows, of } = film.frames.slice(frame).find(({ rows }) => k < rows) ?? { rows: 0 }; // newborns as they are next
    const code = rows ? of[column * rows + k] : 0;
    return code ? film.low[column] + (code - 1) * film.step[column] : NaN;
  };
  return { film, frame, at };
}

// The colours of a panel in the epoch that is shown, on the scale of the finished map.
function filledThen(panel) {
  const { map, way, fill } = panel;
  const past = pastOf(map);
  const features = told.features.length;
  if (!past || !(way.kind === "rgb" || way.id.startsWith("feature "))) return fill;
  const key = `${way.id}/${past.frame}`;
  if (panel.then?.key === key && panel.then.of === fill) return panel.then;
  const colours = Array.from({ length: map.n }, (_, k) => {
    if (way.kind === "rgb") return [0, 1, 2].map((i) => Math.round(255 * past.at(k, features + i)));
    const value = past.at(k, Number(way.id.slice(8)));
    return Number.isFinite(value) ? ramp((value - fill.low) / (fill.high - fill.low || 1)) : null;
  });
  panel.then = { ...fill, colours, key, of: fill };
  return panel.then;
}

function imageThen(map, k) {
  const past = pastOf(map);
  if (!past) return imageOf(map, k);
  const { images } = past.film;
  if (!images.has(past.frame)) images.set(past.frame, sheetOf(past, map.n));
  return images.get(past.frame)(k);
}

function tellFilm() {
  const film = films[panels[state.active]?.map.model ?? 0];
  byId("growth-hint").textContent = (film
    ? `Variables, images and similarity are those of ${film.epochs.length} epochs, each shown until the next; other colours are those of the finished map`
    : "Colours are those of the finished map") + "; outlined neurons were born in this epoch.";
}

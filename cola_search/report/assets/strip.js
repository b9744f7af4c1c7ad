"use strict";
/* A chain as a picture: one column a layer. The same drawing as strip.py makes for other programs. */

/* Passes: the chain cut wherever it steps back, so that each pass runs left to right. */
cola.passes = (layers) => {
  const passes = [];
  layers.forEach((layer, position) => {
    if (position === 0 || layer <= layers[position - 1]) passes.push([]);
    passes[passes.length - 1].push(layer);
  });
  return passes;
};

/* A row-high picture: skipped layers leave a thin line, run ones a bar, repeated ones a tall bar. */
cola.miniStrip = (layers, numLayers, width = 190, height = 22) => {
  const cell = width / numLayers;
  const counts = cola.counts(layers, numLayers);
  const most = Math.max(2, ...counts);
  const bars = counts.map((runs, layer) => {
    const tall = runs === 0 ? 2 : 5 + ((height - 6) * runs) / most;
    const fill = runs === 0 ? "var(--line)" : runs === 1 ? "var(--once)" : "var(--repeat)";
    const size = { width: Math.max(0.6, cell - (cell > 4 ? 1 : 0.4)), height: tall, rx: Math.min(1.5, cell / 4) };
    return cola.svg("rect", { x: layer * cell, y: height - tall, ...size, fill });
  });
  const [skipped, repeated] = [counts.filter((runs) => runs === 0), counts.filter((runs) => runs > 1)];
  const label = `${layers.length} layer runs: ${skipped.length} layers skipped, ${repeated.length} repeated`;
  return cola.svg("svg", { width, height, role: "img", "aria-label": label }, ...bars);
};

/* The whole story: each pass a row, skipped layers hollow, a repeat as the step back to an earlier column. */
cola.strip = (layers, numLayers, width = 1160) => {
  const rows = cola.passes(layers);
  const cell = Math.min(64, (width - 8) / numLayers);
  const tall = Math.max(13, Math.min(28, cell * 0.75));
  const size = { cell, tall, step: rows.length > 8 ? tall + 3 : tall + 8 };
  const [wide, high] = [numLayers * cell + 8, rows.length * size.step + 16];
  const label = `chain of ${layers.length} layer runs over ${numLayers} layers`;
  const look = { role: "img", "aria-label": label, style: "max-width:100%;height:auto;display:block" };
  return cola.svg(
    "svg",
    { viewBox: `0 0 ${wide} ${high}`, width: wide, height: high, ...look },
    ...cola.stripSkipped(rows, numLayers, size),
    ...cola.stripBoxes(rows, size),
    ...cola.stripStepsBack(rows, size),
    ...cola.stripNumbers(numLayers, high, cell),
  );
};

/* The strip at the width that there is, so that its numbers can be read in a narrow window too. */
cola.fittedStrip = (layers, numLayers) => {
  let drawn = 1160;
  const holder = cola.h("div", {}, cola.strip(layers, numLayers, drawn));
  new ResizeObserver(() => {
    const width = Math.min(1160, holder.clientWidth);
    if (width < 60 || Math.abs(width - drawn) < 4) return;
    drawn = width;
    holder.replaceChildren(cola.strip(layers, numLayers, width));
  }).observe(holder);
  return holder;
};

cola.stripBox = (layer, row, { cell, tall, step }, look, ...children) => {
  const size = { width: Math.max(0.8, cell - 2), height: tall - 1, rx: Math.min(4, cell / 4) };
  return cola.svg("rect", { x: 5 + layer * cell, y: row * step + 0.5, ...size, ...look }, ...children);
};

/* A hollow box for each skipped layer, in the row of the last run of a lower layer. */
cola.stripSkipped = (rows, numLayers, size) => {
  const look = { fill: "none", stroke: "var(--muted)", "stroke-opacity": 0.45, "stroke-dasharray": "2 2" };
  const skipped = d3.range(numLayers).filter((layer) => !rows.flat().includes(layer));
  return skipped.map((layer) => {
    const row = rows.findLastIndex((pass) => pass[0] < layer);
    return cola.stripBox(layer, Math.max(0, row), size, look);
  });
};

cola.stripBoxes = (rows, size) => {
  const runs = new Map();
  return rows.flatMap((pass, row) =>
    pass.map((layer) => {
      const run = (runs.get(layer) ?? 0) + 1;
      runs.set(layer, run);
      const title = cola.svg("title", {}, `layer ${layer}, run ${run}`);
      return cola.stripBox(layer, row, size, { fill: run === 1 ? "var(--once)" : "var(--repeat)" }, title);
    }),
  );
};

cola.stripStepsBack = (rows, { cell, tall, step }) =>
  rows.slice(1).map((pass, row) => {
    const [from, to] = [rows[row].at(-1), pass[0]].map((layer) => 4 + (layer + 0.5) * cell);
    const [top, bottom, bend] = [row * step + tall, (row + 1) * step, 0.55 * step];
    const d = `M${from},${top} C${from},${top + bend} ${to},${bottom - bend} ${to},${bottom}`;
    return cola.svg("path", { d, fill: "none", stroke: "var(--repeat)", "stroke-width": 1.6 });
  });

cola.stripNumbers = (numLayers, high, cell) => {
  const every = cell < 15 ? 5 : 1;
  const last = numLayers - 1;
  const fits = (layer) => layer % every === 0 && (last - layer) * cell >= 14;
  const shown = d3.range(numLayers).filter((layer) => layer === last || fits(layer));
  const look = { "text-anchor": "middle", "font-size": 10, fill: "var(--muted)" };
  return shown.map((layer) => cola.svg("text", { x: 4 + (layer + 0.5) * cell, y: high - 3, ...look }, String(layer)));
};

/* A chain with its facts beside its picture. */
cola.chainBlock = (title, layers, numLayers, facts) => {
  const length = cola.h("span", {}, cola.counted(layers.length, "layer run"));
  const line = cola.h("div", { class: "facts" }, cola.h("b", {}, title), length, facts);
  return cola.h("div", { class: "chain-block" }, line, cola.fittedStrip(layers, numLayers));
};

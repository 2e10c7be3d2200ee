"use strict";
(() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const one = (selector, inside = document) => inside.querySelector(selector);
  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const data = JSON.parse(one("#data").textContent);

  // ---- Light and dark ----

  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const themeButton = one("#theme");

  function themed() {
    themeButton.setAttribute("aria-pressed", String(isDark()));
    redrawAll();
  }
  themeButton.hidden = false;
  themeButton.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("cnnexp-theme", root.dataset.theme);
    } catch {
      // It holds until the page is closed.
    }
    themed();
  });
  system.addEventListener("change", themed);

  // The colours that hold now; a style's own text would only name both.
  function colours() {
    const probe = element("span", { hidden: true });
    document.body.append(probe);
    const read = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    const found = { lines: [0, 1, 2, 3, 4, 5, 6, 7].map((i) => read(`c${i}`)) };
    for (const name of ["text", "muted", "line", "soft", "card", "accent"]) found[name] = read(name);
    probe.remove();
    return found;
  }

  // ---- Tables that sort ----

  const keyOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.key ?? cell.textContent.trim();
    if (text === "" || text === "–") return null;
    const number = Number(text.replaceAll(",", ""));
    return Number.isNaN(number) ? text : number;
  };
  const collator = new Intl.Collator(undefined, { numeric: true });

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return collator.compare(String(a), String(b));
  }

  // Rows without a value stay last in both directions.
  function sortTable(table, column, direction) {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [keyOf(row, column), row]);
    const there = rows.filter(([key]) => key !== null).sort((a, b) => direction * compare(a[0], b[0]));
    const empty = rows.filter(([key]) => key === null);
    body.append(...[...there, ...empty].map(([, row]) => row));
    all("thead th", table).forEach((heading) => {
      if (!one("button", heading)) return;
      const own = heading.cellIndex === column;
      heading.setAttribute("aria-sort", own ? (direction > 0 ? "ascending" : "descending") : "none");
    });
  }

  function sortable(table) {
    all("thead th:not(.pick)", table).forEach((heading) => {
      const button = element("button", { type: "button" }, ...heading.childNodes);
      heading.append(button);
      heading.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const now = heading.getAttribute("aria-sort");
        sortTable(table, heading.cellIndex, now === "ascending" ? -1 : 1);
      });
    });
  }
  all("table.sortable").forEach(sortable);

  // ---- Figures ----

  const drawn = new Map(); // element -> a function that gives plotly's data and layout
  const dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash"];
  const symbols = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down"];
  const config = {
    displaylogo: false,
    responsive: true,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d", "sendDataToCloud", "zoomIn2d", "zoomOut2d"],
  };
  let plotly = null;

  async function unpack() {
    const text = one("#plotly").textContent;
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const source = await new Response(stream).text();
    document.head.append(element("script", { textContent: source }));
    if (!window.Plotly) throw new Error("plotly did not start");
    return window.Plotly;
  }
  const loaded = () => (plotly ??= unpack());

  const faded = (colour, share) => colour.replace("rgb(", "rgba(").replace(")", `, ${share})`);

  function dressedTrace(trace, c) {
    const { colour, heat, band, muted } = trace.meta ?? {};
    if (heat) {
      return {
        ...trace,
        colorscale: [[0, c.soft], [1, c.accent]],
        colorbar: { ...trace.colorbar, tickfont: { color: c.muted } },
      };
    }
    if (colour === undefined && !muted) return trace;
    const own = muted ? c.muted : c.lines[colour % c.lines.length];
    if (band) return { ...trace, line: { ...trace.line, width: 0 }, fillcolor: faded(own, 0.16) };
    return {
      ...trace,
      line: { width: 2.25, dash: dashes[colour % dashes.length], ...trace.line, color: own },
      marker: { size: 8, symbol: symbols[colour % symbols.length], ...trace.marker, color: own },
      ...(trace.error_x && { error_x: { ...trace.error_x, color: own, thickness: 1.75, width: 5 } }),
      ...(trace.error_y && { error_y: { ...trace.error_y, color: own, thickness: 1.5, width: 5 } }),
    };
  }

  function dressedLayout(layout, c, width) {
    const axis = {
      gridcolor: c.line, zerolinecolor: c.line, linecolor: c.line, tickfont: { color: c.muted }, automargin: true,
    };
    const dressed = {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: c.text },
      margin: { l: 48, r: 12, t: 12, b: 44 },
      hoverlabel: { bgcolor: c.card, bordercolor: c.line, font: { color: c.text } },
      legend: { orientation: "h", x: 0, y: 1.02, xanchor: "left", yanchor: "bottom", font: { color: c.text } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: c.muted, activecolor: c.accent },
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      width: width || undefined,
      ...layout,
    };
    for (const name of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(name)) dressed[name] = { ...axis, ...layout[name] };
    }
    dressed.xaxis ??= axis;
    dressed.yaxis ??= axis;
    dressed.shapes = (layout.shapes ?? []).map((s) => ({ ...s, line: { color: c.muted, dash: "dot", width: 1.5 } }));
    dressed.annotations = (layout.annotations ?? []).map((a) => ({ ...a, font: { color: c.text, size: 13 } }));
    return dressed;
  }

  function draw(place, Plotly) {
    const found = drawn.get(place)?.();
    if (!found) return;
    const c = colours();
    one(".waiting", place)?.remove();
    const layout = dressedLayout(found.layout, c, root.classList.contains("printing") ? place.clientWidth : 0);
    Plotly.react(place, found.data.map((trace) => dressedTrace(trace, c)), layout, config);
    place.dataset.drawn = "yes";
  }

  async function redraw(place) {
    try {
      draw(place, await loaded());
    } catch (error) {
      const said = one(".waiting", place);
      if (said) said.textContent = "This browser cannot draw the figure; the table has its numbers.";
      throw error;
    }
  }

  function redrawAll() {
    for (const place of drawn.keys()) if (place.dataset.drawn) redraw(place);
  }

  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        seen.unobserve(entry.target);
        redraw(entry.target);
      }
    },
    { rootMargin: "600px" },
  );

  function figure(place, current) {
    drawn.set(place, current);
    seen.observe(place);
  }

  all(".plot[data-figure]").forEach((place) => {
    const plots = data.figures[place.dataset.figure];
    if (!plots) return;
    const choice = one(".choice", place.closest("figure"));
    let shown = 0;
    if (choice) {
      choice.hidden = false;
      choice.addEventListener("change", (event) => {
        shown = Number(event.target.value);
        redraw(place);
      });
    }
    figure(place, () => plots[shown]);
  });

  // On paper a page is light, as wide as a sheet and has all of its figures.
  let before = null;
  const forPaper = (printing) => {
    if (printing === (before !== null)) return;
    if (printing) before = root.dataset.theme ?? "";
    const theme = printing ? "light" : before;
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    if (!printing) before = null;
    root.classList.toggle("printing", printing);
    if (window.Plotly) for (const place of drawn.keys()) draw(place, window.Plotly);
  };
  addEventListener("beforeprint", () => forPaper(true));
  addEventListener("afterprint", () => forPaper(false));
  if (one("#plotly")) addEventListener("load", () => setTimeout(loaded, 300)); // ready when somebody prints

  // ---- Rankings: filter, pick, and what the picked rows show ----

  function ranking(section) {
    const part = data.parts[Number(section.dataset.part)];
    const table = one("table.ranked", section);
    const tableTools = one(".tools", table.closest(".card"));
    const rows = () => [...table.tBodies[0].rows];
    const box = (row) => one(".pick input", row);
    const curves = part.curves.rows ? one(".overlaid", section) : null;
    const sides = one(".sides", section);
    const picked = () => rows().filter((row) => box(row)?.checked).map((row) => Number(row.dataset.row));

    all(".tools", section).forEach((tools) => { tools.hidden = false; });
    all(".pick", table).forEach((cell) => { cell.hidden = false; });

    // A picked row keeps its colour while others come and go.
    const colourOf = new Map();
    function recolour() {
      const now = picked();
      for (const row of [...colourOf.keys()]) if (!now.includes(row)) colourOf.delete(row);
      for (const row of now) {
        if (colourOf.has(row)) continue;
        let free = 0;
        while ([...colourOf.values()].includes(free)) free += 1;
        colourOf.set(row, free);
      }
    }

    const said = one("output", tableTools);
    function tell() {
      const shown = rows().filter((row) => !row.hidden).length;
      const there = curves || sides ? `, ${picked().length} picked` : "";
      said.textContent = `${shown} of ${rows().length} rows${there}`;
    }

    function filter() {
      const words = one(".search", tableTools).value.toLowerCase().split(/\s+/).filter(Boolean);
      const asked = all("select.filter", tableTools).filter((select) => select.value);
      for (const row of rows()) {
        const text = row.textContent.toLowerCase();
        const changed = part.changed[Number(row.dataset.row)];
        row.hidden = !(
          words.every((word) => text.includes(word)) &&
          asked.every((select) => `=${changed[select.dataset.name]}` === select.value)
        );
      }
      tell();
    }
    one(".search", tableTools).addEventListener("input", filter);
    all("select.filter", tableTools).forEach((select) => select.addEventListener("change", filter));

    function repick() {
      recolour();
      tell();
      if (curves?.dataset.drawn) redraw(curves);
      listNumbers();
      showSides();
    }
    table.addEventListener("change", repick);
    const pick = (wanted) => {
      for (const row of rows()) if (box(row)) box(row).checked = wanted(row);
      repick();
    };
    one(".none", tableTools)?.addEventListener("click", () => pick(() => false));
    one(".first", tableTools)?.addEventListener("click", () => {
      const first = rows().filter((row) => !row.hidden).slice(0, 5);
      pick((row) => first.includes(row));
    });

    // ---- Curves ----

    const metric = one("select.metric", section);
    const seeds = one("select.seeds", section);
    const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
    const clipped = (text) => (text.length > 48 ? `${text.slice(0, 47)}…` : text);

    // For every epoch the mean, the lowest and the highest of the runs that have it.
    function summary(runs, m) {
      const at = new Map();
      for (const run of runs) {
        run.x.forEach((x, i) => {
          const y = run.y[m][i];
          if (y !== null && y !== undefined) at.set(x, [...(at.get(x) ?? []), y]);
        });
      }
      return [...at].sort((a, b) => a[0] - b[0]).map(([x, of]) => ({
        x, n: of.length, mean: of.reduce((a, b) => a + b, 0) / of.length, low: Math.min(...of), high: Math.max(...of),
      }));
    }

    function curveFigure() {
      const m = Number(metric.value);
      const traces = [];
      for (const row of picked().sort((a, b) => a - b)) {
        const runs = part.curves.rows[row];
        const colour = colourOf.get(row);
        const name = escaped(clipped(part.labels[row]));
        if (seeds.value === "each") {
          runs.forEach((run, i) => traces.push({
            type: "scatter", mode: "lines", x: run.x, y: run.y[m], name: `${name}, seed ${escaped(run.seed)}`,
            legendgroup: String(row), showlegend: i === 0, line: { width: 1.5 }, meta: { colour },
          }));
          continue;
        }
        const points = summary(runs, m);
        if (points.some((p) => p.n > 1)) {
          traces.push({
            type: "scatter", mode: "lines", fill: "toself", hoverinfo: "skip", showlegend: false, legendgroup: String(row),
            x: [...points.map((p) => p.x), ...points.map((p) => p.x).reverse()],
            y: [...points.map((p) => p.high), ...points.map((p) => p.low).reverse()],
            line: {}, meta: { colour, band: true },
          });
        }
        traces.push({
          type: "scatter", mode: points.length <= 40 ? "lines+markers" : "lines", name, legendgroup: String(row),
          x: points.map((p) => p.x), y: points.map((p) => p.mean), marker: { size: 6 }, meta: { colour },
        });
      }
      const title = metric.selectedOptions[0].textContent;
      const epochs = [...new Set(traces.flatMap((trace) => trace.x))];
      // Around a single epoch plotly would draw ticks at some that there are not.
      const alone = epochs.length === 1 && { range: [epochs[0] - 0.5, epochs[0] + 0.5], autorange: false };
      return {
        data: traces,
        layout: {
          height: 400 + 22 * Math.min(picked().length, 30), showlegend: true, hovermode: "x unified",
          xaxis: { title: { text: "epoch, from 0" }, ...(epochs.length <= 10 && { dtick: 1 }), ...alone },
          yaxis: { title: { text: escaped(title) } },
        },
      };
    }

    const behind = one("details.behind", section);
    function listNumbers() {
      if (!behind?.open) return;
      const m = Number(metric.value);
      const head = element("tr", {}, ...["configuration", "epoch", "runs", "mean", "lowest", "highest"].map((text, i) =>
        element("th", { scope: "col", textContent: text, className: i ? "number" : "" })));
      const lines = picked().flatMap((row) => summary(part.curves.rows[row], m).map((p) =>
        element("tr", {}, element("th", { scope: "row", textContent: part.labels[row] }),
          ...[p.x, p.n, p.mean.toPrecision(4), p.low.toPrecision(4), p.high.toPrecision(4)].map((text) =>
            element("td", { textContent: text, className: "number" })))));
      const made = element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines));
      one(".scroll", behind).replaceChildren(made);
      sortable(made);
    }

    if (curves) {
      figure(curves, curveFigure);
      for (const select of [metric, seeds]) {
        select.addEventListener("change", () => {
          redraw(curves);
          listNumbers();
        });
      }
      behind.hidden = false;
      behind.addEventListener("toggle", listNumbers);
    }

    // ---- Feature maps ----

    const layer = one("select.layer", section);
    function showSides() {
      if (!sides) return;
      const now = picked();
      let count = 0;
      for (const card of all("[data-row]", sides)) {
        card.hidden = !now.includes(Number(card.dataset.row));
        let any = false;
        for (const shown of all("[data-layer]", card)) {
          shown.hidden = shown.dataset.layer !== layer.value;
          any ||= !shown.hidden;
        }
        card.hidden ||= !any;
        count += !card.hidden;
      }
      one("output", layer.closest(".tools")).textContent =
        count === now.length ? "" : `${count} of the ${now.length} picked rows have a picture of this layer in the page`;
    }
    layer?.addEventListener("change", showSides);

    recolour();
    tell();
    showSides();
  }
  all("section.part").forEach(ranking);

  themed();
})();

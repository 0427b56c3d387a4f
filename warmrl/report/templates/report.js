"use strict";
(() => {
  const blocks = document.querySelectorAll('script[type="application/json"][id^="figures"]');
  const figures = [...blocks].flatMap((block) => JSON.parse(block.textContent));
  const spots = new Map(figures.map((figure) => [document.getElementById(figure.id), figure]));
  const waiting = new Set(spots.keys());
  const hidden = new Set();
  const root = document.documentElement;

  // Figures name their colours as CSS variables; plotly wants the colours themselves.
  const painted = (value, style) => {
    if (typeof value === "string") {
      const found = /^var\((--[a-z0-9-]+)\)$/.exec(value);
      return found ? style.getPropertyValue(found[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => painted(item, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, painted(item, style)]));
    }
    return value;
  };

  const axis = (own) => ({
    automargin: true, gridcolor: "var(--rule)", linecolor: "var(--axis)", zerolinecolor: "var(--rule)",
    ticks: "outside", ticklen: 4, tickcolor: "var(--axis)", showline: true, ...own,
    title: { ...own.title, standoff: 8 },
  });

  const layout = (own, width) => ({
    ...own,
    ...(width ? { width } : { autosize: true }),
    xaxis: axis({ showgrid: false, zeroline: own.yaxis.tickvals !== undefined, ...own.xaxis }),
    yaxis: axis(own.yaxis),
    margin: { l: 48, r: 12, t: 12, b: 40 },
    legend: { orientation: "h", x: 0, y: -0.24, yanchor: "top", font: { size: 13 }, ...own.legend },
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: "var(--ink-2)" },
    hoverlabel: { bgcolor: "var(--surface)", bordercolor: "var(--axis)", font: { color: "var(--ink)" } },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false,
  });

  // What stands side by side shares the width of the paper.
  const drawOne = (spot, style, width) => {
    const figure = spots.get(spot);
    const across = figure.across || 1;
    const data = figure.data.filter((trace) => !hidden.has(trace.legendgroup));
    waiting.delete(spot);
    Plotly.react(spot, painted(data, style), painted(layout(figure.layout, width && width / across - 12 * (across - 1)), style),
      { responsive: true, displayModeBar: false });
  };

  // Where plotly waits as text, the first figure runs it.
  const ready = () => {
    if (window.Plotly) return;
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.append(script);
  };

  const draw = (some, width) => {
    ready();
    const style = getComputedStyle(root);
    for (const spot of some) drawOne(spot, style, width);
  };
  const drawn = () => [...spots.keys()].filter((spot) => !waiting.has(spot));

  // What is near the window is drawn at once; the rest once the page is open, one by one while nothing else is to do.
  const near = new IntersectionObserver((entries) => {
    const found = entries.filter((entry) => entry.isIntersecting && waiting.has(entry.target));
    if (found.length) draw(found.map((entry) => entry.target));
  }, { rootMargin: "50%" });
  for (const spot of waiting) near.observe(spot);
  const idle = window.requestIdleCallback || ((then) => setTimeout(then, 20));
  const rest = () => {
    const [next] = waiting;
    if (!next) return near.disconnect();
    draw([next]);
    idle(rest);
  };
  addEventListener("load", () => idle(rest));

  for (const box of document.querySelectorAll(".key input")) {
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(box.value); else hidden.add(box.value);
      draw(drawn());
    });
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(drawn()));
  // Paper is light, and as wide as a page.
  addEventListener("beforeprint", () => { root.dataset.theme = "light"; draw(spots.keys(), 680); });
  addEventListener("afterprint", () => { delete root.dataset.theme; draw(spots.keys()); });
})();

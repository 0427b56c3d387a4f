"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
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
    xaxis: axis({ showgrid: false, ...own.xaxis }),
    yaxis: axis(own.yaxis),
    margin: { l: 48, r: 12, t: 12, b: 40 },
    legend: { orientation: "h", x: 0, y: -0.24, yanchor: "top", font: { size: 13 }, ...own.legend },
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: "var(--ink-2)" },
    hoverlabel: { bgcolor: "var(--surface)", bordercolor: "var(--axis)", font: { color: "var(--ink)" } },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false,
  });

  const draw = (width) => {
    const style = getComputedStyle(root);
    for (const figure of figures) {
      const spot = document.getElementById(figure.id);
      Plotly.react(spot, painted(figure.data, style), painted(layout(figure.layout, width), style),
        { responsive: true, displayModeBar: false });
    }
  };

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
  // Paper is light, and as wide as a page.
  addEventListener("beforeprint", () => { root.dataset.theme = "light"; draw(680); });
  addEventListener("afterprint", () => { delete root.dataset.theme; draw(); });
})();

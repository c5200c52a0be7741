// What HTML alone cannot do: the lamp, keeping the reader's place when a fragment is replaced, and charts.
// Pages are complete without it; fragments arrive as HTML over the socket and htmx puts them in place.
"use strict";

(() => {
  const SESSION_OVER = 4401;
  const LOOK_AFTER_FAILURES = 4;

  // Full jitter, at most 5 s: after a restart of the server the pages come back within seconds, not at once.
  htmx.config.wsReconnectDelay = (retries) => Math.random() * Math.min(5000, 500 * 2 ** retries);

  let failures = 0;

  function light(state) {
    for (const lamp of document.querySelectorAll("[data-lamp]")) {
      lamp.dataset.state = state;
      lamp.querySelector("[data-lamp-text]").textContent = state;
    }
  }

  // A refused handshake does not say why. When the session is over, the page itself leads to the login.
  async function lookWhetherLoggedOut() {
    const answer = await fetch(location.href, { method: "HEAD", redirect: "manual" }).catch(() => null);
    if (answer && (answer.type === "opaqueredirect" || answer.status === 404)) location.reload();
  }

  document.addEventListener("htmx:wsOpen", () => {
    failures = 0;
    light("live");
  });

  document.addEventListener("htmx:wsClose", (event) => {
    const code = event.detail.event.code;
    if (code === SESSION_OVER) {
      location.reload();
      return;
    }
    light(navigator.onLine ? "reconnecting" : "offline");
    failures += 1;
    if (failures % LOOK_AFTER_FAILURES === 0) lookWhetherLoggedOut();
  });

  window.addEventListener("offline", () => light("offline"));

  // What had the focus, what was unfolded and how far it was scrolled before a fragment was replaced.
  let place = null;

  function atEnd(box) {
    return box.scrollHeight - box.scrollTop - box.clientHeight < 8;
  }

  function follow(box) {
    box.scrollTop = box.scrollHeight;
  }

  document.addEventListener("htmx:wsBeforeMessage", () => {
    place = {
      focus: document.activeElement ? document.activeElement.id : "",
      unfolded: new Map([...document.querySelectorAll("details[id]")].map((one) => [one.id, one.open])),
      scrolled: new Map(
        [...document.querySelectorAll("[data-follow]")].map((box) => [box.id, atEnd(box) ? null : box.scrollTop]),
      ),
    };
  });

  document.addEventListener("htmx:wsAfterMessage", () => {
    for (const [id, open] of place.unfolded) {
      const one = document.getElementById(id);
      if (one) one.open = open;
    }
    for (const box of document.querySelectorAll("[data-follow]")) {
      const top = place.scrolled.get(box.id);
      if (top == null) follow(box);
      else box.scrollTop = top;
    }
    if (place.focus && document.activeElement === document.body) {
      const again = document.getElementById(place.focus);
      if (again) again.focus({ preventScroll: true });
    }
    drawCharts();
  });

  // By canvas. The canvas stays; its data comes as JSON inside the live fragment of the same name.
  const drawn = new Map();
  const TYPE_STYLES = ["circle", "triangle", "rect", "rectRot", "star"];

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }

  function axis(title, more = {}) {
    return {
      grid: { color: color("line") },
      ticks: { color: color("muted"), maxRotation: 0, autoSkipPadding: 16 },
      title: { display: Boolean(title), text: title, color: color("muted") },
      ...more,
    };
  }

  function milliseconds(value) {
    return value >= 1000 ? `${+(value / 1000).toPrecision(3)} s` : `${value} ms`;
  }

  function isPowerOfTen(value) {
    return Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9;
  }

  function logAxis(title, [min, max]) {
    const plain = axis(title, { type: "logarithmic", min, max });
    plain.ticks.callback = milliseconds;
    // Whole powers of ten only: the labels between them run into each other.
    plain.afterBuildTicks = (scale) => {
      scale.ticks = scale.ticks.filter((tick) => isPowerOfTen(tick.value));
    };
    return plain;
  }

  function options(scales, more = {}) {
    return {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      scales,
      plugins: { legend: { labels: { color: color("text"), boxWidth: 7, boxHeight: 7, usePointStyle: true } } },
      ...more,
    };
  }

  function lines(data, style) {
    return Object.entries(data.series).map(([name, values]) => ({ label: name, data: values, ...style(name) }));
  }

  function shares(data, label, hues) {
    const style = (name) => ({
      borderColor: color(hues[name]),
      backgroundColor: color(hues[name]),
      spanGaps: true,
      pointRadius: 3,
      tension: 0.25,
    });
    return {
      type: "line",
      data: { labels: data.labels, datasets: lines(data, style) },
      options: options({ x: axis(label), y: axis("%", { beginAtZero: true }) }),
    };
  }

  const charts = {
    throughput: (data) => ({
      type: "bar",
      data: {
        labels: data.labels,
        datasets: lines(data, (name) => ({ backgroundColor: color(`chart-${name}`), stack: "all" })),
      },
      options: options({
        x: axis("hour (UTC)", { stacked: true }),
        y: axis("attempts", { stacked: true, beginAtZero: true, ticks: { color: color("muted"), precision: 0 } }),
      }),
    }),

    scatter: (data) => {
      const values = Object.values(data.series).flatMap((points) => points.flatMap((p) => [p.x, p.y]));
      const low = 10 ** Math.floor(Math.log10(Math.min(...values)));
      const high = 10 ** Math.ceil(Math.log10(Math.max(...values) + 1));
      const ends = [low, high];
      const exact = {
        type: "line",
        label: "exact",
        data: ends.map((end) => ({ x: end, y: end })),
        borderColor: color("muted"),
        borderWidth: 1,
        borderDash: [4, 4],
        pointRadius: 0,
        pointStyle: "line",
      };
      const points = lines(data, (name) => ({
        borderColor: color(`chart-${name}`),
        backgroundColor: `${color(`chart-${name}`)}99`,
        pointStyle: TYPE_STYLES[Object.keys(data.series).indexOf(name)],
        pointRadius: 4,
      }));
      const label = ({ raw }) => [raw.name || "exact", `${milliseconds(raw.x)} predicted, ${milliseconds(raw.y)} actual`];
      const shown = options({ x: logAxis("predicted", ends), y: logAxis("actual", ends) });
      shown.interaction = { mode: "nearest", intersect: true };
      shown.plugins.tooltip = { callbacks: { label } };
      return { type: "scatter", data: { datasets: [...points, exact] }, options: shown };
    },

    accuracy: (data) => shares(data, "hour (UTC)", { "within a factor of 2": "chart-done", "median error": "chart-retried" }),
    calibration: (data) => shares(data, "day (UTC)", { "inside the interval": "chart-done", expected: "muted" }),

    depth: (data) => {
      const style = (name) => ({
        borderColor: color(`chart-${name}`),
        backgroundColor: color(`chart-${name}`),
        borderWidth: 2,
        pointRadius: 0,
        stepped: true,
      });
      return {
        type: "line",
        data: { labels: data.labels, datasets: lines(data, style) },
        options: options({ x: axis("time (UTC)"), y: axis("jobs", { beginAtZero: true, ticks: { color: color("muted"), precision: 0 } }) }),
      };
    },
  };

  function drawChart(canvas, again) {
    const source = document.getElementById(canvas.dataset.chart);
    const text = source ? source.textContent : "";
    const before = drawn.get(canvas);
    if (before && before.text === text && !again) return;
    const hidden = before ? before.chart.data.datasets.filter((_, i) => !before.chart.isDatasetVisible(i)) : [];
    if (before) before.chart.destroy();
    drawn.delete(canvas);
    if (!text) return;
    const config = charts[canvas.dataset.chart](JSON.parse(text));
    const off = new Set(hidden.map((set) => set.label));
    for (const set of config.data.datasets) set.hidden = off.has(set.label);
    drawn.set(canvas, { text, chart: new Chart(canvas, config) });
  }

  function drawCharts(again = false) {
    for (const canvas of document.querySelectorAll("canvas[data-chart]")) drawChart(canvas, again);
  }

  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawCharts(true));
  // Finished output is read from its top.
  document.querySelectorAll("[data-follow]:not([data-finished])").forEach(follow);
  drawCharts();
})();

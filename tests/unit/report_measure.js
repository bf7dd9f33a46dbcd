// What a browser makes of the report in the first frame; the answer goes into body's data-found.
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {
  const page = frame.contentDocument;
  const root = page.documentElement;
  const view = frame.contentWindow;
  page.querySelectorAll("details").forEach((item) => { item.open = true; });
  const describe = (item) => item.outerHTML.slice(0, 160);
  const wide = [...page.querySelectorAll("body *")].filter((item) =>
    item.getBoundingClientRect().right > root.clientWidth + 1);
  const cut = [...page.querySelectorAll("svg.chart text")].filter((item) => {
    const box = item.getBBox(), whole = item.ownerSVGElement.viewBox.baseVal;
    return box.x < -1 || box.x + box.width > whole.width + 1 || box.y + box.height > whole.height + 1;
  });
  const channels = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
  const luminance = (colour) => channels(colour).slice(0, 3).map((value) => value / 255)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const groundOf = (item) => {
    for (let at = item; at; at = at.parentElement) {
      const colour = view.getComputedStyle(at).backgroundColor;
      if (channels(colour).length === 3 || channels(colour)[3] === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const judge = () => {
    const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
    let least = 99, weakest = "", texts = 0;
    while (walker.nextNode()) {
      const item = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim() || item.closest("script, title")) continue;
      if (!item.getClientRects().length) continue;
      const style = view.getComputedStyle(item);
      const colour = item.closest("svg") ? style.fill : style.color;
      const [low, high] = [luminance(colour), luminance(groundOf(item))].sort((a, b) => a - b);
      const contrast = (high + 0.05) / (low + 0.05);
      texts += 1;
      if (contrast < least) { least = contrast; weakest = describe(item); }
    }
    return { ground: view.getComputedStyle(page.body).backgroundColor, least, weakest, texts };
  };
  const found = {
    scroll: root.scrollWidth,
    client: root.clientWidth,
    wide: wide.filter((item) => !item.closest(".scroll, .wide, pre")).map(describe),
    wide_anywhere: wide.map(describe),
    cut: cut.map((item) => item.textContent),
    requests: view.performance.getEntriesByType("resource").length,
    heading: page.querySelector("h1").textContent,
    own: view.getComputedStyle(page.body).backgroundColor,
  };
  for (const theme of ["dark", "light"]) {
    page.querySelector(`[data-choice=${theme}]`).click();
    found[theme] = judge();
  }
  document.body.dataset.found = JSON.stringify(found);
});

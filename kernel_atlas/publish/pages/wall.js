"use strict";
// Kernels side by side on a canvas that is as large as what is seen of them, however many there are. Each is drawn
// small, a pixel a tap or a few, centred and scaled to its largest tap, over a line in the colour of its label (broken
// where the label is Off-..., so that colour does not tell alone); the canvas enlarges that.

function colourBytes(hex) {
  return [...[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)), 255];
}

function paint(image, x, y, shape, taps, from, palette, fine = 1) { // a kernel, fine x fine pixels a tap
  let mean = 0, most = 0;
  for (let tap = 0; tap < shape.taps; tap++) mean += taps[from + tap];
  mean /= shape.taps;
  for (let tap = 0; tap < shape.taps; tap++) most = Math.max(most, Math.abs(taps[from + tap] - mean));
  const middle = (palette.length - 1) / 2, wide = shape.width * fine;
  for (let row = 0; row < shape.height * fine; row++) {
    let at = 4 * ((y + row) * image.width + x);
    for (let column = 0; column < wide; column++) {
      const tap = taps[from + Math.floor(row / fine) * shape.width + Math.floor(column / fine)];
      const colour = palette[Math.round(middle + (most ? (tap - mean) / most : 0) * middle)];
      image.data[at++] = colour[0];
      image.data[at++] = colour[1];
      image.data[at++] = colour[2];
      image.data[at++] = 255;
    }
  }
}

function drawKernel(canvas, shape, taps, palette) { // one alone; the canvas has a pixel a tap, CSS enlarges it
  canvas.width = shape.width;
  canvas.height = shape.height;
  const image = new ImageData(shape.width, shape.height);
  paint(image, 0, 0, shape, taps, 0, palette);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function canvasOf(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function filmstrip(shape, kernels, palette, { room, side, pick, count = kernels.length }) { // arrays of taps
  const wide = shape.width + 1, high = shape.height + 1;
  const most = Math.max(1, Math.round(side / shape.width)); // CSS pixels a tap
  const across = (rows) => Math.ceil(count / rows), fit = (rows) => Math.floor(room / (across(rows) * wide));
  let rows = 1;
  while (fit(rows) < most / 2 && across(rows) > 1) rows++; // smaller in one row is better than a second row
  const columns = across(rows), scale = Math.max(1, Math.min(most, fit(rows)));
  const image = new ImageData(columns * wide, Math.ceil(kernels.length / columns) * high);
  kernels.forEach((taps, place) => {
    paint(image, (place % columns) * wide, Math.floor(place / columns) * high, shape, taps, 0, palette);
  });
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: image.width, height: image.height, className: "film" });
  canvas.style.width = `${image.width * scale}px`;
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.addEventListener("click", (event) => {
    const [column, row] = [event.offsetX / (wide * scale), event.offsetY / (high * scale)].map(Math.floor);
    if (row * columns + column < kernels.length) pick(row * columns + column);
  });
  return canvas;
}

function oncePerFrame(of, draw) {
  of.waiting ??= requestAnimationFrame(() => {
    of.waiting = null;
    draw();
  });
}

class Wall {
  constructor(element, palette, { hover, pick }) {
    this.element = element; // a box that scrolls: a tall box with the canvas in it, which stays in sight
    this.tall = element.querySelector(".tall");
    this.canvas = element.querySelector("canvas");
    this.palette = palette;
    this.shown = new Uint32Array();
    element.addEventListener("scroll", () => oncePerFrame(this, () => this.draw()));
    new ResizeObserver(() => this.kernels && this.arrange()).observe(element);
    element.addEventListener("pointermove", (event) => hover(this.at(event), event));
    element.addEventListener("pointerleave", () => hover(null));
    element.addEventListener("click", (event) => this.at(event) !== null && pick(this.at(event)));
    element.addEventListener("keydown", (event) => {
      const { length } = this.shown, page = this.across * Math.max(1, Math.floor(element.clientHeight / this.high));
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.across, ArrowUp: -this.across, PageDown: page,
        PageUp: -page, Home: -length, End: length }[event.key];
      if (!step || !length) return;
      event.preventDefault();
      const place = this.shown.indexOf(this.picked);
      const next = Math.max(0, Math.min(length - 1, place < 0 && Math.abs(step) < length ? 0 : place + step));
      pick(this.shown[next], "replaceState"); // or else a walk through the wall were a long way back
      this.reveal(next);
    });
  }

  show(kernels, shown, side) { // side: of a kernel, in CSS pixels, about
    Object.assign(this, { kernels, shown, side });
    this.colours = kernels.labels.map((one) => ({ bytes: colourBytes(one.colour), off: one.label.startsWith("Off-") }));
    this.element.scrollTop = 0;
    this.arrange();
  }

  arrange() {
    const { width, height } = this.kernels;
    this.fine = Math.max(1, Math.round(8 / width)); // pixels a tap: lines and gaps are as thin whatever the size
    this.scale = Math.max(1, Math.round(this.side / (width * this.fine))); // CSS pixels a pixel
    this.cell = { width: width * this.fine + 1, height: height * this.fine + 3 }; // a kernel; a gap, its line and a gap
    this.across = Math.max(1, Math.floor(this.element.clientWidth / (this.cell.width * this.scale)));
    this.rows = Math.ceil(this.shown.length / this.across);
    this.high = this.cell.height * this.scale;
    this.tall.style.height = `${this.rows * this.high}px`; // the box is as high, up to its limit
    this.canvas.style.height = `${this.element.clientHeight}px`;
    this.draw();
  }

  draw() {
    const { high } = this, first = Math.floor(this.element.scrollTop / high);
    const rows = Math.min(Math.ceil(this.element.clientHeight / high) + 1, this.rows - first);
    const image = this.render(this.shown.subarray(first * this.across, (first + rows) * this.across), this.across);
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.element.clientWidth * ratio);
    this.canvas.height = Math.round(this.element.clientHeight * ratio);
    const context = this.canvas.getContext("2d");
    if (!image) return;
    context.scale(ratio, ratio);
    context.imageSmoothingEnabled = false;
    const up = this.element.scrollTop - first * high;
    context.drawImage(image, 0, -up, image.width * this.scale, image.height * this.scale);
    const place = this.shown.indexOf(this.picked) - first * this.across;
    if (place < 0 || place >= rows * this.across) return;
    const wide = this.cell.width * this.scale, tall = (this.cell.height - 1) * this.scale;
    const style = getComputedStyle(this.element);
    const x = (place % this.across) * wide + 1, y = Math.floor(place / this.across) * high - up + 1;
    [[style.color, 4], [style.backgroundColor, 1.5]].forEach(([colour, thick]) => { // two, so that one stands out
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.strokeRect(x, y, wide - this.scale - 2, tall - 2);
    });
  }

  render(kernels, across) { // a canvas, before it is enlarged
    const rows = Math.ceil(kernels.length / across);
    if (!rows) return null;
    const { width, height, columns, taps } = this.kernels, fine = this.fine;
    const image = new ImageData(across * this.cell.width, rows * this.cell.height);
    kernels.forEach((kernel, place) => {
      const x = (place % across) * this.cell.width, y = Math.floor(place / across) * this.cell.height;
      paint(image, x, y, this.kernels, columns.taps, kernel * taps, this.palette, fine);
      const { bytes, off } = this.colours[columns.label[kernel]];
      let at = 4 * ((y + height * fine) * image.width + x);
      for (let column = 0; column < width * fine; column++, at += 4) {
        if (!off || column % 2 === 0) image.data.set(bytes, at);
      }
    });
    return canvasOf(image);
  }

  at(event) { // the kernel below the pointer, or null
    const box = this.element.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - this.element.clientLeft) / (this.cell.width * this.scale));
    const down = event.clientY - box.top - this.element.clientTop + this.element.scrollTop;
    const place = Math.floor(down / this.high) * this.across + column;
    return column < this.across && place < this.shown.length ? this.shown[place] : null;
  }

  mark(kernel) {
    this.picked = kernel;
    this.draw();
  }

  reveal(place) { // scroll no more than is needed to see it
    const { high } = this, top = Math.floor(place / this.across) * high;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    if (top + high > scrollTop + clientHeight) this.element.scrollTop = top + high - clientHeight;
  }

  async picture(limit, title) { // PNG of the first kernels, as many as the limit, with a title and the labels below
    const kernels = this.shown.subarray(0, limit), { labels, columns } = this.kernels, found = new Map();
    kernels.forEach((kernel) => {
      const one = labels[columns.label[kernel]];
      found.set(one, (found.get(one) ?? 0) + 1);
    });
    const across = Math.ceil(Math.sqrt((1.5 * kernels.length * this.cell.height) / this.cell.width)) || 1;
    const image = this.render(kernels, across) ?? new OffscreenCanvas(1, 1);
    const scale = Math.max(1, Math.min(8, Math.floor(1600 / image.width)));
    const width = Math.max(1200, image.width * scale + 40), below = 90 + image.height * scale;
    const beside = Math.floor(width / 390); // labels
    const canvas = new OffscreenCanvas(width, below + Math.ceil(found.size / beside) * 28 + 20);
    const context = canvas.getContext("2d"), write = (text, x, y, font = "18px sans-serif") => {
      Object.assign(context, { font, fillStyle: "#1f2328" });
      context.fillText(text, x, y);
    };
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, canvas.height);
    context.imageSmoothingEnabled = false;
    context.drawImage(image, 20, 76, image.width * scale, image.height * scale);
    write(title, 20, 34, "bold 22px sans-serif");
    write("Red above the kernel's mean, blue below, scaled to its largest tap. The line is its label.", 20, 62);
    [...found].sort((a, b) => b[1] - a[1]).forEach(([one, count], place) => {
      const x = 20 + (place % beside) * 390, y = below + Math.floor(place / beside) * 28;
      context.fillStyle = one.colour;
      for (let bar = 0; bar < 24; bar += one.label.startsWith("Off-") ? 8 : 4) context.fillRect(x + bar, y, 4, 16);
      write(`${one.label} (${count.toLocaleString("en")})`, x + 32, y + 15);
    });
    return canvas.convertToBlob({ type: "image/png" });
  }
}

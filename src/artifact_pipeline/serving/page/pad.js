// A canvas to draw on, and the image of the drawing that the model gets.
//
// A drawing becomes an image as in the digits data set: the strokes are scaled and centred to fill a
// bitmap of four times the image's size, and each block of 4×4 points becomes one pixel, whose value
// is the share of ink in it. The image can also be set by keyboard.

const THICK = 4.5; // points of the bitmap, as thick as the pens of the digits data set
const FINE = 4; // steps of a point, so that round strokes have round edges

class PixelPad extends HTMLElement {
  start(image) {
    this.image = image;
    this.strokes = [];
    this.values = new Array(image.height * image.width).fill(image.min);
    this.innerHTML = `
      <p class="soft">Draw with mouse or finger, or move over the small image with the arrow keys and press 0 to 9 for ink.</p>
      <div class="row">
        <canvas class="drawing" width="560" height="560" role="img" aria-label="Place to draw on"></canvas>
        <div>
          <p class="soft" id="seen-label">What the model sees, ${image.height}×${image.width}</p>
          <div class="grid" role="grid" aria-labelledby="seen-label"></div>
        </div>
      </div>
      <button type="button">Clear</button>
      <p class="soft">The strokes are scaled to fill ${4 * image.width}×${4 * image.height} points, centred; each block of 4×4
        points is one pixel, whose ink is counted from ${image.min} to ${image.max}.</p>`;
    this.canvas = this.querySelector("canvas");
    this.grid = this.querySelector(".grid");
    this.grid.style.gridTemplateColumns = `repeat(${image.width}, 1fr)`;
    for (let y = 0; y < image.height; y++) {
      const row = document.createElement("div");
      row.setAttribute("role", "row");
      for (let x = 0; x < image.width; x++) row.append(this.cell(y * image.width + x));
      this.grid.append(row);
    }
    this.cells = [...this.grid.querySelectorAll(".place")];
    this.cells[0].tabIndex = 0;
    this.querySelector("button").addEventListener("click", () => this.clear());
    this.listen();
    this.show();
  }

  cell(index) {
    const place = document.createElement("div");
    place.className = "place";
    place.setAttribute("role", "gridcell");
    place.tabIndex = -1;
    const ink = document.createElement("div");
    ink.className = "cell";
    place.append(ink);
    place.addEventListener("keydown", (event) => this.key(event, index));
    return place;
  }

  key(event, index) {
    const { width, height, min, max } = this.image;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width };
    if (event.key in steps) {
      const x = index % width;
      const stays = (event.key === "ArrowLeft" && x === 0) || (event.key === "ArrowRight" && x === width - 1);
      const next = index + steps[event.key];
      if (!stays && next >= 0 && next < width * height) this.focusOn(next);
    } else if (/^[0-9]$/.test(event.key)) {
      this.values[index] = this.level(Number(event.key) / 9);
      this.strokes = [];
      this.paint();
      this.show();
      this.notify();
    } else return;
    event.preventDefault();
  }

  focusOn(index) {
    for (const cell of this.cells) cell.tabIndex = -1;
    this.cells[index].tabIndex = 0;
    this.cells[index].focus();
  }

  listen() {
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.strokes.push([at(event)]);
      this.update();
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons || !this.strokes.length) return;
      this.strokes.at(-1).push(at(event));
      this.update();
    });
  }

  update() {
    this.paint();
    this.values = this.scaled();
    this.show();
    this.notify();
  }

  // Draw the strokes on the canvas, unscaled.
  paint() {
    const context = this.canvas.getContext("2d");
    const size = this.canvas.width;
    context.clearRect(0, 0, size, size);
    stroke(context, this.strokes.map((points) => points.map(([x, y]) => [x * size, y * size])), size / 14,
      getComputedStyle(this).color);
  }

  scaled() {
    const { height, width } = this.image;
    const [w, h] = [4 * width, 4 * height];
    const points = this.strokes.flat();
    const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const scale = Math.min((w - THICK) / Math.max(right - left, 1e-3), (h - THICK) / Math.max(bottom - top, 1e-3));
    const place = ([x, y]) => [
      ((x - (left + right) / 2) * scale + w / 2) * FINE,
      ((y - (top + bottom) / 2) * scale + h / 2) * FINE,
    ];
    const bitmap = document.createElement("canvas");
    [bitmap.width, bitmap.height] = [w * FINE, h * FINE];
    const context = bitmap.getContext("2d", { willReadFrequently: true });
    stroke(context, this.strokes.map((points) => points.map(place)), THICK * FINE, "#000");
    const data = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
    const ink = new Array(height * width).fill(0);
    for (let y = 0; y < bitmap.height; y++)
      for (let x = 0; x < bitmap.width; x++) {
        const pixel = Math.floor(y / (4 * FINE)) * width + Math.floor(x / (4 * FINE));
        ink[pixel] += data[4 * (y * bitmap.width + x) + 3] / 255;
      }
    return ink.map((sum) => this.level(sum / (4 * FINE) ** 2));
  }

  // A share of ink as a value of the image: a whole number if the range has whole numbers.
  level(share) {
    const { min, max } = this.image;
    const value = min + share * (max - min);
    return max - min > 1 ? Math.round(value) : value;
  }

  set(values) {
    this.strokes = [];
    this.values = [...values];
    this.paint();
    this.show();
    this.notify();
  }

  clear() {
    this.set(new Array(this.values.length).fill(this.image.min));
  }

  show() {
    const { width, min, max } = this.image;
    this.cells.forEach((place, index) => {
      const value = this.values[index];
      place.firstChild.style.setProperty("--ink", (value - min) / (max - min));
      const [y, x] = [Math.floor(index / width) + 1, (index % width) + 1];
      place.setAttribute("aria-label", `row ${y}, column ${x}: ${Math.round(value * 100) / 100}`);
    });
  }

  notify() {
    this.dispatchEvent(new CustomEvent("rowchange", { bubbles: true, detail: this.values }));
  }
}

function stroke(context, strokes, thick, colour) {
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = thick;
  context.strokeStyle = colour;
  for (const points of strokes) {
    context.beginPath();
    context.moveTo(...points[0]);
    for (const point of points.slice(1)) context.lineTo(...point);
    if (points.length === 1) context.lineTo(points[0][0] + 0.01, points[0][1]);
    context.stroke();
  }
}

customElements.define("pixel-pad", PixelPad);

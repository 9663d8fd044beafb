// Pixels as the model was trained on them. An image is {width, height, data}, as in a canvas:
// red, green, blue and alpha of each pixel, 0 to 255.
//
// A canvas could resize, too, but every browser does it in its own way. The model's shares would
// then differ from those of the Python package, so the same arithmetic is written out here.

// Weights of the source pixels for each target pixel: a triangle as wide as the reduction, in
// fixed point. This is PyTorch's antialiased bilinear filter for 8-bit images, which is Pillow's.
function triangles(from, to) {
  const reach = Math.max(from/to, 1);
  const rows = [];
  for (let i = 0; i < to; i++) {
    const center = (i + .5)*from/to;
    const first = Math.max(Math.trunc(center - reach + .5), 0);
    const last = Math.min(Math.trunc(center + reach + .5), from);
    const weights = [];
    for (let j = first; j < last; j++)
      weights.push(Math.max(0, 1 - Math.abs(j - center + .5)/reach));
    const sum = weights.reduce((a, b) => a + b, 0);
    rows.push({first, weights: weights.map(w => w/sum)});
  }
  return fixedPoint(rows);
}

// As many bits as fit: the largest weight must stay below 2^15.
function fixedPoint(rows) {
  const largest = Math.max(...rows.flatMap(row => row.weights));
  let bits = 0;
  while (bits < 22 && Math.trunc(.5 + largest*2**(bits + 1)) < 2**15) bits++;
  for (const row of rows) row.weights = row.weights.map(w => Math.trunc(.5 + w*2**bits));
  return {rows, bits};
}

// Resize along one axis; `step` leads from a pixel to the next, `lines` are resized one by one.
function resizeAxis(source, target, from, to, lines, step, sourceLine, targetLine) {
  const {rows, bits} = triangles(from, to);
  const half = 1 << (bits - 1);
  rows.forEach(({first, weights}, i) => {
    for (let line = 0; line < lines; line++) {
      for (let c = 0; c < 4; c++) {
        let sum = half;
        let at = line*sourceLine + first*step + c;
        for (const weight of weights) {
          sum += weight*source[at];
          at += step;
        }
        target[line*targetLine + i*step + c] = sum >> bits; // a clamped array: 0 to 255
      }
    }
  });
}

export function resize(image, width, height) {
  const {width: w, height: h, data} = image;
  const wide = new Uint8ClampedArray(4*width*h);
  const both = new Uint8ClampedArray(4*width*height);
  resizeAxis(data, wide, w, width, h, 4, 4*w, 4*width);        // pixels of each row
  resizeAxis(wide, both, h, height, width, 4*width, 4, 4);     // then those of each column
  return {width, height, data: both};
}

// A part of an image; outside, the edge is repeated.
export function cut(image, left, top, width, height) {
  const data = new Uint8ClampedArray(4*width*height);
  const inside = (at, size) => Math.min(Math.max(at, 0), size - 1);
  for (let y = 0; y < height; y++) {
    const row = inside(top + y, image.height)*image.width;
    for (let x = 0; x < width; x++) {
      const at = 4*(row + inside(left + x, image.width));
      for (let c = 0; c < 4; c++) data[4*(y*width + x) + c] = image.data[at + c];
    }
  }
  return {width, height, data};
}

// The middle of a square image, turned clockwise by an angle until what is tilted is level.
export function level(image, angle, size) {
  const data = new Uint8ClampedArray(4*size*size);
  const cos = Math.cos(angle), sin = Math.sin(angle), middle = (image.width - 1)/2;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const dx = x - (size - 1)/2, dy = y - (size - 1)/2;
      const fromX = middle + cos*dx - sin*dy, fromY = middle + sin*dx + cos*dy;
      const left = Math.floor(fromX), top = Math.floor(fromY);
      const right = fromX - left, below = fromY - top; // shares of the next pixels
      for (let c = 0; c < 4; c++) {
        const at = 4*(top*image.width + left) + c, next = at + 4*image.width;
        data[4*(y*size + x) + c] =
          (1 - below)*((1 - right)*image.data[at] + right*image.data[at + 4]) +
          below*((1 - right)*image.data[next] + right*image.data[next + 4]);
      }
    }
  }
  return {width: size, height: size, data}; // a clamped array rounds
}

// Python rounds halves to the even neighbor.
export const round = x => Math.abs(x % 1) === .5 ? 2*Math.round(x/2) : Math.round(x);

// The square that the model takes: the shorter side resized, then the middle of the longer one.
export function square(image, size) {
  const shorter = Math.min(image.width, image.height);
  const width = Math.trunc(size*image.width/shorter);
  const height = Math.trunc(size*image.height/shorter);
  const small = resize(image, width, height);
  return cut(small, round((width - size)/2), round((height - size)/2), size, size);
}

// One channel after the other, as networks want them; `order` says which first.
export function planes(images, order, Type) {
  const [{width, height}] = images;
  const n = width*height;
  const values = new Type(images.length*order.length*n);
  images.forEach(({data}, b) => order.forEach((c, k) => {
    const start = (b*order.length + k)*n;
    for (let i = 0; i < n; i++) values[start + i] = data[4*i + c];
  }));
  return values;
}

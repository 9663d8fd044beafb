// Faces in a photograph by YuNet, and the crop of each as the model was trained on. The numbers
// come from the Python package, and this is what its module `faces` does.
import {cut, level, planes, resize, round} from './pixels.js';

const STRIDES = [8, 16, 32]; // YuNet looks for faces on three grids, in pixels between two points

// The faces of an image from the left to the right: box [x, y, width, height], eyes and score.
export async function findFaces(image, session, ort, {sides: [low, high], score, overlap}) {
  const longer = Math.max(image.width, image.height);
  const scale = Math.min(high/longer, Math.max(1, Math.min(2, low/longer)));
  const side = length => Math.max(1, round(scale*length));
  const small = resize(image, side(image.width), side(image.height));
  const padded = pad(small, STRIDES.at(-1));
  const values = planes([padded], [2, 1, 0], Float32Array); // blue first
  const input = new ort.Tensor('float32', values, [1, 3, padded.height, padded.width]);
  const outputs = await session.run({input});
  const found = STRIDES.flatMap(stride => decode(outputs, stride, padded.width/stride, score));
  return withoutDoubles(found, overlap)
    .map(({box, eyes, score}) => ({
      box: box.map(x => x/scale), eyes: eyes.map(eye => eye.map(x => x/scale)), score}))
    .sort((a, b) => a.box[0] - b.box[0]);
}

// Black on the right and below, up to whole cells of the coarsest grid.
function pad({width, height, data}, cell) {
  const wide = cell*Math.ceil(width/cell), high = cell*Math.ceil(height/cell);
  const padded = new Uint8ClampedArray(4*wide*high);
  for (let y = 0; y < height; y++)
    padded.set(data.subarray(4*y*width, 4*(y + 1)*width), 4*y*wide);
  return {width: wide, height: high, data: padded};
}

// A point of a grid holds a face if YuNet is sure of both: that it is one, and that it is there.
function decode(outputs, stride, columns, least) {
  const [cls, obj, bbox, kps] = ['cls', 'obj', 'bbox', 'kps'].map(
    name => outputs[`${name}_${stride}`].data);
  const clamp = x => Math.min(1, Math.max(0, x));
  const faces = [];
  for (let i = 0; i < cls.length; i++) {
    const score = Math.sqrt(clamp(cls[i])*clamp(obj[i]));
    if (score < least) continue;
    const column = i % columns, row = Math.floor(i/columns);
    const point = (values, at) => [(column + values[at])*stride, (row + values[at + 1])*stride];
    const [x, y] = point(bbox, 4*i);
    const width = Math.exp(bbox[4*i + 2])*stride, height = Math.exp(bbox[4*i + 3])*stride;
    faces.push({box: [x - width/2, y - height/2, width, height], score,
                eyes: [point(kps, 10*i), point(kps, 10*i + 2)]});
  }
  return faces;
}

// Many points see the same face: the surest one stays.
function withoutDoubles(faces, most) {
  const kept = [];
  for (const face of faces.sort((a, b) => b.score - a.score))
    if (kept.every(other => overlap(face.box, other.box) <= most)) kept.push(face);
  return kept;
}

// Area that two boxes share, relative to what they cover together.
function overlap([x, y, w, h], [X, Y, W, H]) {
  const width = Math.max(0, Math.min(x + w, X + W) - Math.max(x, X));
  const height = Math.max(0, Math.min(y + h, Y + H) - Math.max(y, Y));
  return width*height/(w*h + W*H - width*height);
}

// The side of the square that the model was trained on around such a box.
const sideOf = ({box: [, , width, height]}, {margin}) => margin*Math.sqrt(width*height);

// How much the eyes fall from left to right, in radians; a face from the side is left as it is.
function tiltOf({box, eyes: [[left, top], [right, bottom]]}, {profile}) {
  return right - left < profile*box[2] ? 0 : Math.atan2(bottom - top, right - left);
}

// The face as the faces of FER+ were cut out, its eyes level.
export function cropFace(image, face, numbers) {
  const [x, y, width, height] = face.box;
  const around = side => cut(image, round(x + width/2 - side/2), round(y + height/2 - side/2),
                             side, side);
  const side = Math.max(1, round(sideOf(face, numbers)));
  const tilt = tiltOf(face, numbers);
  if (tilt === 0) return around(side);
  return level(around(side + 2*Math.ceil(.21*side)), tilt, side); // holds the square at any tilt
}

// Whether an image needs no search, since it is too small to hold more than a face ...
export const isSmall = ({width, height}, {small}) => Math.max(width, height) <= small;

// ... or is the tight crop of its only face.
export function isCrop({width, height}, faces, numbers) {
  return faces.length === 1 && sideOf(faces[0], numbers)**2 >= numbers.covered*width*height;
}

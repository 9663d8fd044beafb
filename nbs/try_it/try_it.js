// The page "Try it": a picture comes in, the shares of the emotions are drawn. All of it happens in
// this browser; the only things fetched are the files in built/, which `.ci/try_it.py` puts there.
import {cropFace, findFaces, isCrop, isSmall} from './faces.js';
import {planes, square} from './pixels.js';

const MOST_PIXELS = 16e6;  // what canvases of phones hold
const SHOWN = 960;         // longest side of the picture on the page
const BUILT = new URL('built/', import.meta.url).href;
const page = document.getElementById('try-it');
const find = selector => page.querySelector(selector);
const say = text => { find('.status').textContent = text; };

// ---- the model

async function load() {
  const settings = await (await fetch(BUILT + 'try_it.json')).json();
  const ort = await import(BUILT + settings.runtime);
  const open = name => ort.InferenceSession.create(BUILT + name);
  const model = await open(settings.model);
  const detector = settings.detector && await open(settings.detector);
  return {settings, ort, model, detector};
}

// Shares of the emotions for some squares, a list for each.
async function sharesOf({ort, model, settings: {imageSize, emotions}}, squares) {
  const values = planes(squares, [0, 1, 2], Uint8Array);
  const images = new ort.Tensor('uint8', values, [squares.length, 3, imageSize, imageSize]);
  const all = (await model.run({images})).shares.data;
  return squares.map((_, i) => [...all.slice(i*emotions.length, (i + 1)*emotions.length)]);
}

// The faces of a picture: the square that the model sees, its shares, and the box if one was found.
// Without any, or if the picture is a tight crop, all of it is taken.
async function look(loaded, image) {
  const {settings: {faces: numbers, imageSize}, detector, ort} = loaded;
  const search = detector && !isSmall(image, numbers);
  const found = search ? await findFaces(image, detector, ort, numbers) : [];
  const cropped = !search || isCrop(image, found, numbers);
  const faces = cropped || !found.length ? [{}] : found;
  const crops = faces.map(face => face.box ? cropFace(image, face, numbers) : image);
  const squares = crops.map(crop => square(crop, imageSize));
  const shares = await sharesOf(loaded, squares);
  const seen = faces.map((face, i) => ({...face, square: squares[i], shares: shares[i]}));
  return {faces: seen, text: describe(seen, detector, cropped)};
}

function describe(faces, detector, cropped) {
  if (!detector) return 'This copy of the page finds no faces: the whole picture is taken as one.';
  if (cropped) return 'The picture is taken as a tight crop of one face.';
  if (!faces[0].box) return 'No face was found: the whole picture is taken as one.';
  return faces.length > 1 ? `${faces.length} faces. Choose one to see its shares.` : 'One face.';
}

// The same shares over the other set of emotions: each hands its share on, row by row.
const translate = (shares, matrix) =>
  matrix[0].map((_, j) => shares.reduce((sum, share, i) => sum + share*matrix[i][j], 0));

// ---- pictures

// Transparent becomes white, as in Python.
function pixelsOf(source, width, height, mirrored = false) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.fillStyle = 'white';
  context.fillRect(0, 0, width, height);
  if (mirrored) context.setTransform(-1, 0, 0, 1, width, 0);
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

// The numbers as they are in the file: Python does not apply a color profile either.
async function read(file) {
  const picture = await createImageBitmap(file, {colorSpaceConversion: 'none'});
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS/(picture.width*picture.height)));
  return pixelsOf(picture, Math.round(scale*picture.width), Math.round(scale*picture.height));
}

function canvasOf({width, height, data}) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext('2d').putImageData(new ImageData(data, width, height), 0, 0);
  return canvas;
}

// ---- what is seen

function element(tag, className, text = '') {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function drawPhoto({image, faces, chosen}) {
  const photo = find('.photo');
  const scale = Math.min(1, SHOWN/Math.max(image.width, image.height));
  photo.width = Math.round(scale*image.width);
  photo.height = Math.round(scale*image.height);
  const context = photo.getContext('2d');
  context.drawImage(canvasOf(image), 0, 0, photo.width, photo.height);
  const unit = Math.max(photo.width, photo.height)/300;
  faces.forEach(({box}, i) => {
    if (!box) return;
    // dark under bright, to be seen on any picture
    for (const [color, width] of [['#000', 3.5], [i === chosen ? '#ffd43b' : '#fff', 1.8]]) {
      context.strokeStyle = color;
      context.lineWidth = width*unit;
      context.strokeRect(...box.map(x => x*scale));
    }
  });
}

function drawFaces(faces, choose) {
  const buttons = faces.map(({square}, i) => {
    const button = element('button', 'face');
    button.type = 'button';
    button.ariaLabel = `Face ${i + 1}`;
    button.append(element('canvas', ''));
    const [canvas] = button.children;
    canvas.width = canvas.height = square.width;
    canvas.getContext('2d').drawImage(canvasOf(square), 0, 0);
    button.onclick = () => choose(i);
    return button;
  });
  find('.faces').replaceChildren(...buttons);
}

// Rows stay in the order of the set, so that bars of a moving face grow and shrink in their place.
function drawBars(emotions, shares) {
  const most = Math.max(...shares);
  const rows = emotions.map(({name, color}, i) => {
    const row = element('li', shares[i] === most ? 'top' : '');
    const track = element('span', 'track'), bar = element('span', 'bar');
    bar.style.width = `${100*shares[i]}%`;
    bar.style.background = color;
    track.append(bar);
    const share = element('span', 'share', `${(100*shares[i]).toFixed(1)} %`);
    share.dataset.share = shares[i];
    row.append(element('span', 'name', name), track, share);
    return row;
  });
  find('.bars').replaceChildren(...rows);
}

// ---- the page

function start(loaded) {
  const {settings} = loaded;
  const state = {image: null, faces: [], chosen: 0, camera: null};

  // What depends on the face that is chosen and on the set of emotions.
  function draw() {
    const {image, faces, chosen} = state;
    if (!image) return;
    drawPhoto(state);
    [...find('.faces').children].forEach((button, i) => { button.ariaPressed = i === chosen; });
    const derived = find('[name=emotions]:checked').value === 'derived';
    const {emotions, matrix} = derived ? settings.derived : {emotions: settings.emotions};
    const {shares} = faces[chosen];
    drawBars(emotions, derived ? translate(shares, matrix) : shares);
  }

  function choose(i) {
    state.chosen = i;
    draw();
  }

  // The newest picture wins if another came in while this one was looked at.
  async function show(image) {
    state.newest = image;
    const {faces, text} = await look(loaded, image);
    if (image !== state.newest) return;
    const chosen = Math.min(state.chosen, faces.length - 1);
    Object.assign(state, {image, faces, chosen});
    drawFaces(faces, choose);
    draw();
    find('.result').hidden = false;
    say(text);
  }

  async function open(file) {
    stopCamera();
    state.chosen = 0;
    say('Looking ...');
    try {
      await show(await read(file));
    } catch (error) {
      say(`${file.name}: this browser cannot read it as a picture; try a JPEG or PNG file.`);
      console.error(error);
    }
  }

  function stopCamera() {
    state.camera?.getTracks().forEach(track => track.stop());
    state.camera = null;
    find('.camera').textContent = 'Camera';
  }

  async function startCamera() {
    const wanted = {facingMode: 'user', width: 640, height: 480};
    state.camera = await navigator.mediaDevices.getUserMedia({video: wanted});
    find('.camera').textContent = 'Stop';
    const video = document.createElement('video');
    video.srcObject = state.camera;
    video.playsInline = video.muted = true;
    await video.play();
    while (state.camera) {
      // mirrored, as people know their own face
      await show(pixelsOf(video, video.videoWidth, video.videoHeight, true));
      await new Promise(requestAnimationFrame);
    }
  }

  find('[type=file]').onchange = ({target}) => target.files[0] && open(target.files[0]);
  find('.camera').onclick = () => state.camera ? stopCamera() : startCamera().catch(error => {
    stopCamera();
    say('There is no camera that this page may use.');
    console.error(error);
  });
  find('.example').onclick = async () => open(await (await fetch(BUILT + 'example.png')).blob());
  find('.emotions').onchange = draw;
  find('.photo').onclick = event => choose(faceAt(state, event));
  acceptDrops(open);
  find('.controls').disabled = false;
  say('Ready.');
}

// The face whose box is nearest to a click.
function faceAt({faces, image}, {offsetX, offsetY, target}) {
  const scale = image.width/target.clientWidth;
  const distances = faces.map(({box: [x, y, w, h] = [0, 0, 0, 0]}) =>
    Math.hypot(x + w/2 - offsetX*scale, y + h/2 - offsetY*scale));
  return distances.indexOf(Math.min(...distances));
}

function acceptDrops(open) {
  const drop = find('.drop');
  for (const name of ['dragenter', 'dragover', 'dragleave', 'drop']) {
    drop.addEventListener(name, event => {
      event.preventDefault();
      drop.classList.toggle('over', name === 'dragenter' || name === 'dragover');
      if (name === 'drop' && event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
    });
  }
}

load().then(start).catch(error => {
  say('The model could not be loaded. In a checkout, run python .ci/try_it.py first.');
  console.error(error);
});

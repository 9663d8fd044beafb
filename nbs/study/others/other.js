// One package's prediction for FER+ faces as they are; reads commands from standard input.
//     node other.js human|face-api FACES.npy     (faces uint8 [N, 48, 48])
//     all OUT.f32    write its shares for every face
//     time N         print the processor time in seconds of N faces, one by one
const fs = require('fs');
const readline = require('readline');
const modules = `${process.cwd()}/node_modules`;

async function human() {
  const tf = require(`${modules}/@tensorflow/tfjs`);
  const wasm = require(`${modules}/@tensorflow/tfjs-backend-wasm`);
  wasm.setWasmPaths(`${modules}/@tensorflow/tfjs-backend-wasm/dist/`);
  wasm.setThreadsCount(1);
  await tf.setBackend('wasm');
  await tf.ready();
  const folder = `${modules}/@vladmandic/human/models`;
  const spec = JSON.parse(fs.readFileSync(`${folder}/emotion.json`));
  const weights = fs.readFileSync(`${folder}/emotion.bin`);
  const model = await tf.loadGraphModel(tf.io.fromMemory({
    modelTopology: spec.modelTopology, format: spec.format,
    weightSpecs: spec.weightsManifest[0].weights,
    weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.length),
  }));
  const size = model.inputs[0].shape[2];
  return (face) => tf.tidy(() => { // as in its src/gear/emotion.ts
    const image = tf.div(tf.tile(tf.tensor4d(face, [1, 48, 48, 1], 'float32'), [1, 1, 1, 3]), 255);
    const large = tf.image.resizeBilinear(image, [size, size], false);
    const gray = tf.sum(tf.mul(large, [0.2989, 0.5870, 0.1140]), 3, true);
    return model.execute(tf.mul(tf.sub(gray, 0.5), 2)).dataSync();
  });
}

async function faceApi() {
  const faceapi = require(`${modules}/@vladmandic/face-api/dist/face-api.node-wasm.js`);
  const wasm = require(`${modules}/@tensorflow/tfjs-backend-wasm`);
  wasm.setWasmPaths(`${modules}/@tensorflow/tfjs-backend-wasm/dist/`);
  wasm.setThreadsCount(1);
  await faceapi.tf.setBackend('wasm');
  await faceapi.tf.ready();
  await faceapi.nets.faceExpressionNet.loadFromDisk(`${modules}/@vladmandic/face-api/model`);
  const { tf } = faceapi;
  return (face) => tf.tidy(() => {
    const image = tf.tile(tf.tensor3d(face, [48, 48, 1], 'int32'), [1, 1, 3]);
    const input = new faceapi.NetInput([image]);
    return faceapi.nets.faceExpressionNet.forwardInput(input).dataSync();
  });
}

async function main() {
  const [kind, file] = process.argv.slice(2);
  const bytes = fs.readFileSync(file);
  const start = 10 + bytes.readUInt16LE(8); // the header of an .npy file
  const side = 48 * 48;
  const face = (i) => bytes.subarray(start + i * side, start + (i + 1) * side);
  const n = (bytes.length - start) / side;
  const predict = await (kind === 'human' ? human : faceApi)();
  predict(face(0));
  console.log('ready');
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [command, value] = line.split(' ');
    if (command === 'all') {
      const rows = [];
      for (let i = 0; i < n; i++) rows.push(Buffer.from(Float32Array.from(predict(face(i))).buffer));
      fs.writeFileSync(value, Buffer.concat(rows));
      console.log('done');
    } else {
      const before = process.cpuUsage();
      for (let i = 0; i < Number(value); i++) predict(face(i));
      const used = process.cpuUsage(before);
      console.log((used.user + used.system) / 1e6);
    }
  }
}
main();

// @vladmandic/face-api with its WASM back end, SSD detector and 68 landmarks, as a child process of bench.side_by_side.
// Run by node in a folder where face-api, tfjs, its WASM back end and jpeg-js are installed.
"use strict";

const fs = require("fs");
const path = require("path");
const readline = require("readline");
const { createRequire } = require("module");

const here = createRequire(path.join(process.cwd(), "package.json"));
// The library tells its version on the standard output, which is for our lines.
console.log = console.info = console.warn = () => {};

async function main() {
  const tf = here("@tensorflow/tfjs");
  const wasm = here("@tensorflow/tfjs-backend-wasm");
  const jpeg = here("jpeg-js");
  wasm.setWasmPaths(path.join(path.dirname(here.resolve("@tensorflow/tfjs-backend-wasm/package.json")), "dist") + "/");
  if (wasm.setThreadsCount) wasm.setThreadsCount(1);
  await tf.setBackend("wasm");
  await tf.ready();
  const folder = path.dirname(here.resolve("@vladmandic/face-api/package.json"));
  const faceapi = here(path.join(folder, "dist", "face-api.node-wasm.js"));
  const model = path.join(folder, "model");
  await faceapi.nets.ssdMobilenetv1.loadFromDisk(model);
  await faceapi.nets.faceLandmark68Net.loadFromDisk(model);
  await faceapi.nets.faceRecognitionNet.loadFromDisk(model);
  const { version } = here("@vladmandic/face-api/package.json");
  answer({ ready: `face-api ${version} (${tf.getBackend()})`, score: "distance" });

  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    const data = fs.readFileSync(asked.path);
    const wall = performance.now();
    const cpu = process.cpuUsage();
    const { width, height, data: pixels } = jpeg.decode(data, { useTArray: true, formatAsRGBA: false });
    const picture = tf.tensor3d(pixels, [height, width, 3], "int32");
    const faces = await faceapi.detectAllFaces(picture, new faceapi.SsdMobilenetv1Options()).withFaceLandmarks();
    const face = choose(faces, asked.face, width, height);
    const embedding = face && Array.from(await descriptor(faceapi, picture, face));
    tf.dispose(picture);
    const used = process.cpuUsage(cpu);
    answer({ embedding: embedding || null, wall_ms: performance.now() - wall, cpu_ms: (used.user + used.system) / 1000 });
  }
}

async function descriptor(faceapi, picture, face) {
  // What .withFaceDescriptors() does, but for the one face that is asked for.
  const crops = await faceapi.extractFaceTensors(picture, [face.landmarks.align(null, { useDlibAlignment: true })]);
  const [found] = [].concat(await faceapi.nets.faceRecognitionNet.computeFaceDescriptor(crops[0]));
  crops.forEach((crop) => crop.dispose());
  return found;
}

function choose(faces, which, width, height) {
  // Counted in widths of the face, as the engine does it: small ones in the background do not win.
  const away = ({ detection: { box } }) =>
    Math.hypot(box.x + box.width / 2 - width / 2, box.y + box.height / 2 - height / 2) / Math.sqrt(box.area);
  const rank = which === "centred" ? away : ({ detection: { box } }) => -box.area;
  return [...faces].sort((one, other) => rank(one) - rank(other))[0];
}

function answer(values) {
  process.stdout.write(JSON.stringify(values) + "\n");
}

main().catch((error) => {
  process.stderr.write(`${error.message || error}\n`);
  process.exit(1);
});

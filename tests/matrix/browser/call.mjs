// One end of a call: a browser with a camera and a microphone that are made up, and nothing but the addresses of this machine to offer. What it says to
// the other end goes to standard output, what the other end says comes on standard input, one JSON document per line.
//
//   node call.mjs caller|callee

import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const role = process.argv[2];
const args = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"];
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
const page = await browser.newPage();
// localhost: a secure context, which cameras need.
await page.goto("http://localhost:8080/empty.html");
await page.evaluate(async () => {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 480 } });
  const call = (window.call = new RTCPeerConnection());
  stream.getTracks().forEach((track) => call.addTrack(track, stream));
  window.gathered = () =>
    call.iceGatheringState === "complete"
      ? call.localDescription
      : new Promise((yes) => (call.onicegatheringstatechange = () => call.iceGatheringState === "complete" && yes(call.localDescription)));
});
const say = (what) => console.log(JSON.stringify(what));
const describe = (make) =>
  page.evaluate(async (make) => {
    await call.setLocalDescription(await call[make]());
    return { type: (await gathered()).type, sdp: call.localDescription.sdp };
  }, make);
const hear = (description) => page.evaluate((description) => call.setRemoteDescription(description), description);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const next = async () => JSON.parse((await lines.next()).value);
if (role === "caller") {
  say(await describe("createOffer"));
  await hear(await next());
} else {
  await hear(await next());
  say(await describe("createAnswer"));
}
const result = await page.evaluate(async () => {
  for (let tries = 0; tries < 600; tries++) {
    const all = [...(await call.getStats()).values()];
    const video = all.find((one) => one.type === "inbound-rtp" && one.kind === "video");
    if (video?.framesDecoded >= 100) {
      const pair = all.find((one) => one.type === "candidate-pair" && one.nominated && one.state === "succeeded");
      // An end that was found by its packets before its offer came has no address here.
      const [local, remote] = [pair?.localCandidateId, pair?.remoteCandidateId].map((id) => all.find((one) => one.id === id)?.address);
      if (local || remote) return { frames: video.framesDecoded, width: video.frameWidth, lost: video.packetsLost, local, remote };
    }
    await new Promise((yes) => setTimeout(yes, 100));
  }
  return { state: call.iceConnectionState };
});
say(result);
// The other end counts frames too: hang up only when told.
await lines.next();
await browser.close();
process.exit(0);

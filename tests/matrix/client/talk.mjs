// A client as people have it, without a face: matrix-js-sdk, with its encryption in Rust, logged in at its local homeserver. What comes on
// standard input, line by line, is said in the room; what is heard there goes to standard output, one JSON document per line.
//
//   node talk.mjs HOMESERVER USER-ID TOKEN DEVICE-ID ROOM-ID OTHER-USER-ID

import { createInterface } from "node:readline";

// Newer than Node 20.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new Promise((yes, no) => ([resolve, reject] = [yes, no]));
  return { promise, resolve, reject };
};
const sdk = await import("matrix-js-sdk");
const { logger } = await import("matrix-js-sdk/lib/logger.js");
logger.disableAll();

const [baseUrl, userId, accessToken, deviceId, roomId, other] = process.argv.slice(2);
const say = (what) => console.log(JSON.stringify(what));
const client = sdk.createClient({ baseUrl, userId, accessToken, deviceId });
await client.initRustCrypto({ useIndexedDB: false });

const heard = (event) => {
  if (event.getRoomId() !== roomId || event.getType() !== "m.room.message") return;
  say({ sender: event.getSender(), body: event.getContent().body, encrypted: event.isEncrypted(), wire: event.getWireType() });
};
client.on(sdk.MatrixEventEvent.Decrypted, heard);
client.on(sdk.RoomEvent.Timeline, (event) => event.isEncrypted() || heard(event));
const ready = new Promise((yes) => client.on(sdk.ClientEvent.Sync, (state) => state === "PREPARED" && yes()));
await client.startClient({ initialSyncLimit: 50 });
await ready;

// Who encrypts for somebody needs the keys of their devices, which come from the other homeserver.
let devices = 0;
for (let attempt = 0; devices === 0 && attempt < 60; attempt++) {
  const all = await client.getCrypto().getUserDeviceInfo([other], true);
  devices = [...(all.get(other)?.values() ?? [])].length;
  if (devices === 0) await new Promise((yes) => setTimeout(yes, 500));
}
say({ ready: true, devices });

for await (const line of createInterface({ input: process.stdin })) {
  await client.sendTextMessage(roomId, line);
}
client.stopClient();
process.exit(0);

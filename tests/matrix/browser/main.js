// Hydrogen's own views of one room, as its SDK shows how to use them. The address names user, password and the room to join.

import {
  Client, FeatureSet, LoadStatus, Platform, RoomView, RoomViewModel, createNavigation, createRouter, viewClassForTile,
} from "hydrogen-view-sdk";
import downloadSandbox from "hydrogen-view-sdk/download-sandbox.html?url";
import worker from "hydrogen-view-sdk/main.js?url";
import wasm from "@matrix-org/olm/olm.wasm?url";
import wasmBundle from "@matrix-org/olm/olm.js?url";
import legacyBundle from "@matrix-org/olm/olm_legacy.js?url";
import "hydrogen-view-sdk/assets/theme-element-light.css";

const { user, password, alias } = Object.fromEntries(new URLSearchParams(location.search));
history.replaceState(null, "", "/");

const container = document.querySelector("#app");
const assetPaths = { downloadSandbox, worker, olm: { wasm, wasmBundle, legacyBundle }, serviceWorker: "sw.js" };
const platform = new Platform({ container, assetPaths, config: {}, options: { development: true } });
const navigation = createNavigation();
platform.setNavigation(navigation);
await platform.init();
const urlRouter = createRouter({ navigation, history: platform.history });
urlRouter.attach();

const client = new Client(platform);
const login = await client.queryLogin("http://localhost:8008").result;
client.startWithLogin(login.password(user, password));
const ended = [LoadStatus.Ready, LoadStatus.Error, LoadStatus.LoginFailed];
await client.loadStatus.waitFor((status) => ended.includes(status)).promise;
if (client.loginFailure || client.loadError) throw new Error(client.loginFailure ?? client.loadError.message);

const { session } = client;
const id = await session.joinRoom(alias);
while (!session.rooms.get(id)) await new Promise((yes) => setTimeout(yes, 100));
const features = await FeatureSet.load(platform.settingsStorage);
const model = new RoomViewModel({ room: session.rooms.get(id), ownUserId: session.userId, platform, urlRouter, navigation, features });
await model.load();
container.appendChild(new RoomView(model, viewClassForTile).mount());

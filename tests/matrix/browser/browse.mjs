// Somebody at a browser: opens the page, reads what the other wrote, types an answer, waits for the reply, and takes a picture.
//
//   node browse.mjs URL FIRST ANSWER SECOND PICTURE

import { chromium } from "playwright-core";

const [url, first, answer, second, picture] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 900, height: 560 } });
page.on("console", (message) => message.type() === "error" && console.log(message.text()));
page.on("pageerror", (error) => console.log(String(error)));
await page.goto(url);
await page.getByText(first).waitFor({ timeout: 90_000 });
await page.locator(".MessageComposer_input textarea").fill(answer);
await page.keyboard.press("Enter");
await page.getByText(second).waitFor({ timeout: 90_000 });
await page.screenshot({ path: picture });
await browser.close();

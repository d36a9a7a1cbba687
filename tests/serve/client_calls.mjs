// The same as client_calls.py with openai for Node:  node client_calls.mjs BASE_URL KEY
import assert from "node:assert";
import OpenAI, { toFile } from "openai";

const [base, key] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0 });
const done = [];

// 2x2 pixels, alpha 0
const png = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAYAAABytg0kAAAAC0lEQVR42mNgQAcAABIAAeRVjecAAAAASUVORK5CYII=",
  "base64",
);
const picture = () => toFile(png, "picture.png", { type: "image/png" });
const isPng = (data) => assert.equal(data.subarray(1, 4).toString(), "PNG");

const made = await client.images.generate({ prompt: "a cat", size: "256x256", n: 2, model: null });
const reply = await fetch(made.data[1].url);
assert.equal(reply.headers.get("content-type"), "image/png");
isPng(Buffer.from(await reply.arrayBuffer()));
done.push("generations");

const edited = await client.images.edit({
  image: await picture(), mask: await picture(), prompt: "a hat", size: "256x256", response_format: "b64_json",
});
isPng(Buffer.from(edited.data[0].b64_json, "base64"));
done.push("edits");

const varied = await client.images.createVariation({ image: await picture(), n: 2, size: "256x256" });
assert.equal(varied.data.length, 2);
done.push("variations");

const names = [];
for await (const model of client.models.list()) names.push(model.id);
assert(names.includes("dall-e-3"));
assert.equal((await client.models.retrieve("dall-e-2")).id, "dall-e-2");
done.push("models");

await assert.rejects(client.images.generate({ prompt: "x", size: "1x1" }), (error) => {
  assert(error instanceof OpenAI.BadRequestError);
  assert.match(error.message, /is not one of/);
  return Boolean(error.requestID);
});
await assert.rejects(client.models.retrieve("nobody"), OpenAI.NotFoundError);
const other = new OpenAI({ baseURL: `${base}/v1`, apiKey: "sk-wrong-wrong", maxRetries: 0 });
await assert.rejects(other.images.generate({ prompt: "x" }), OpenAI.AuthenticationError);
done.push("errors");

const events = [];
const stream = await client.images.generate({
  prompt: "a cat", model: "gpt-image-1", stream: true, partial_images: 2,
});
for await (const event of stream) events.push(event.type);
assert.deepEqual(events, [
  "image_generation.partial_image", "image_generation.partial_image", "image_generation.completed",
]);
await assert.rejects(async () => {
  for await (const _ of await client.images.generate({ prompt: "raise", model: "gpt-image-1", stream: true }));
}, /had an error/);
done.push("streams");

process.stdout.write(JSON.stringify({ done }));

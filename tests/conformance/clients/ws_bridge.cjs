// Drives npm's `ws` client from a test: commands come in and events go out as lines of JSON.
// The folder with node_modules is the first argument, the URL the second.
const path = require("node:path");
const readline = require("node:readline");
const WebSocket = require(path.join(process.argv[2], "node_modules", "ws"));

const tell = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const socket = new WebSocket(process.argv[3], { maxPayload: 200 * 1024 * 1024 });

socket.on("open", () => tell({ event: "open", subprotocol: socket.protocol }));
socket.on("message", (data, binary) =>
  tell(binary ? { event: "message", base64: data.toString("base64") } : { event: "message", text: data.toString() }),
);
socket.on("pong", (data) => tell({ event: "pong", base64: data.toString("base64") }));
socket.on("close", (code, reason) => {
  tell({ event: "close", code, reason: reason.toString() });
  process.exitCode = 0;
  lines.close();
});
socket.on("unexpected-response", (request, response) => {
  tell({ event: "refused", status: response.statusCode });
  process.exit(0);
});
socket.on("error", (error) => tell({ event: "error", message: error.message }));

const lines = readline.createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const command = JSON.parse(line);
  const data = "text" in command ? command.text : Buffer.from(command.base64 ?? "", "base64");
  if (command.op === "send") socket.send(data);
  else if (command.op === "ping") socket.ping(data);
  else if (command.op === "close") socket.close(command.code, command.reason);
});
lines.on("close", () => socket.terminate());

// A short message service centre of somebody else's making (npm `smpp`), with a ledger and a few bad habits.
// stdin: {"port", "control_port"}. Control: GET /ledger, PUT /does, POST /inbound.
const http = require("http");
const smpp = require("smpp");

const settings = JSON.parse(require("fs").readFileSync(0, "utf8"));
const ledger = [];
const sessions = new Set();
let does = {};
let lastId = 0;

const smsc = smpp.createServer({}, (session) => {
  session.on("error", () => session.close());
  session.on("close", () => sessions.delete(session));
  session.on("bind_transceiver", (pdu) => {
    const known = pdu.system_id === "us" && pdu.password === "secret";
    session.send(pdu.response({ command_status: known ? 0 : smpp.ESME_RINVPASWD, system_id: "smsc" }));
    if (known) sessions.add(session);
  });
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("unbind", (pdu) => { session.send(pdu.response()); session.close(); });
  session.on("submit_sm", (pdu) => take(session, pdu));
});

function take(session, pdu) {
  const said = pdu.message_payload || pdu.short_message;
  const id = `m${++lastId}`;
  const accepted = !does.status;
  ledger.push({
    to: `+${pdu.destination_addr}`, from: `+${pdu.source_addr}`, body: said.message, accepted,
    status: does.status || 0, message_id: accepted ? id : null, idempotency_key: null,
  });
  if (accepted && does.receipt_first) report(id, pdu, "DELIVRD", 0);
  if (does.drop) return session.destroy ? session.destroy() : session.close();
  setTimeout(() => {
    session.send(pdu.response({ command_status: does.status || 0, message_id: accepted ? id : "" }));
    if (accepted && pdu.registered_delivery && !does.receipt_first && !does.silent) report(id, pdu, does.stat || "DELIVRD", does.delay_ms || 50);
  }, does.latency_ms || 0);
}

function report(id, pdu, stat, delay) {
  const text = `id:${id} sub:001 dlvrd:001 submit date:2603011200 done date:2603011201 stat:${stat} err:000 text:`;
  setTimeout(() => deliver({
    source_addr: pdu.destination_addr, destination_addr: pdu.source_addr, esm_class: 4, short_message: text,
    receipted_message_id: id,
  }, () => {}), delay);
}

// To any session that is bound, now or later: a receipt is owed until it is answered with success.
function deliver(fields, answered) {
  const session = sessions.values().next().value;
  const again = () => setTimeout(() => deliver(fields, answered), 200);
  if (!session) return again();
  const giveUp = setTimeout(again, 5000);
  session.deliver_sm(fields, (response) => {
    clearTimeout(giveUp);
    if (response.command_status) return again();
    answered(response.command_status);
  });
}

const control = http.createServer((request, response) => {
  let body = "";
  request.on("data", (piece) => (body += piece));
  request.on("end", () => {
    if (request.method === "PUT") { does = JSON.parse(body); return response.end("{}"); }
    if (request.method === "POST") {
      const { from, to, body: text } = JSON.parse(body);
      const fields = { source_addr: from.slice(1), source_addr_ton: 1, destination_addr: to.slice(1),
        dest_addr_ton: 1, short_message: text };
      return deliver(fields, () => response.end("{}"));
    }
    response.end(ledger.map((line) => JSON.stringify(line) + "\n").join(""));
  });
});

smsc.listen(settings.port, () => control.listen(settings.control_port, "127.0.0.1"));

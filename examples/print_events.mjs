// Prints the events of PictureMatch: node print_events.mjs localhost:9092 [TOPIC] (needs the package kafkajs).
import { Kafka, logLevel } from "kafkajs";

const [bootstrap, topic = "picturematch.events"] = process.argv.slice(2);
const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: "print-events-node" }); // reads committed records only
await consumer.subscribe({ topics: [topic], fromBeginning: true });
await consumer.run({
  eachMessage: async ({ message }) => {
    const event = JSON.parse(message.value);
    console.log(event.id, event.kind, event.outcome, event.device_ip, event.name);
  },
});

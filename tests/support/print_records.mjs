// Prints every record of a topic as one line of JSON: node print_records.mjs BOOTSTRAP TOPIC GROUP.
// The isolation level is left at the default of kafkajs, which is what the test is about.
import { Kafka, logLevel } from "kafkajs";

const [bootstrap, topic, groupId] = process.argv.slice(2);
const consumer = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR }).consumer({ groupId });
await consumer.connect();
await consumer.subscribe({ topics: [topic], fromBeginning: true });
await consumer.run({
  eachMessage: async ({ partition, message }) => {
    const headers = Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, String(value)]));
    const [key, value] = [message.key, message.value].map((bytes) => bytes && String(bytes));
    console.log(JSON.stringify({ partition, offset: Number(message.offset), key, headers, value }));
  },
});

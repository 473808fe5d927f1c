"""The Kafka adapter: the log on Apache Kafka (3.3 or newer; tested with 4.1), for many ingresses and many processors.

This room alone imports `aiokafka`, and adds the promises that the library does not make:

- A group member writes through one transactional producer for each of its partitions. The transactional id names group,
  topic and partition, so that starting the producer fences the former owner of the partition. A producer for the whole
  group could fence nobody, because `send_offsets_to_transaction` sends neither member nor generation.
- A partition is taken over in a fixed order: stop delivery, start the producer, look up the committed offset, seek,
  deliver.
- Every send is awaited before the commit, because a commit succeeds although a send has failed. After a failed send the
  producer is replaced, because its sequence numbers no longer fit.
- Every wait for a broker ends when a probe finds that the brokers are out of reach.

The module `broker` opens the log; importing it imports the library, so a process on the embedded log does without it.
The modules `config` and `topics` do not import the library, because settings and commands need them on either log.
"""

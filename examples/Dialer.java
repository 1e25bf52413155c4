import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * One call: admission request, launch, reports. Java 17, no dependency.
 *
 * <pre>
 *     java examples/Dialer.java http://127.0.0.1:8080 collections
 * </pre>
 *
 * The environment variable ADMISSION_TOKEN holds the token, if the service needs one. Exit codes: 0
 * granted and reported, 1 denied, 2 usage, 3 no answer (then: do not launch).
 */
public final class Dialer {
    private static final int TRIES = 4;
    private final HttpClient http =
            HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(2)).build();
    private final String service;

    private Dialer(String service) {
        this.service = service;
    }

    /** An answer, and when the request was sent and the answer arrived, by the stopwatch (ns). */
    private record Answer(int status, String json, long sentAt, long arrivedAt) {
        /** The first number or string of that name in the JSON of the answer; null: absent. */
        String field(String name) {
            Matcher found =
                    Pattern.compile("\"" + name + "\":\\s*(?:\"([^\"]*)\"|(-?\\d+))").matcher(json);
            return !found.find() ? null : found.group(1) != null ? found.group(1) : found.group(2);
        }
    }

    public static void main(String[] arguments) throws InterruptedException {
        if (arguments.length != 2) {
            System.err.println("usage: java Dialer.java SERVICE_URL CAMPAIGN");
            System.exit(2);
        }
        try {
            System.exit(new Dialer(arguments[0]).dial(arguments[1]));
        } catch (IOException fault) {
            System.err.println("no answer: " + fault);
            System.exit(3);
        }
    }

    private int dial(String campaign) throws IOException, InterruptedException {
        // The idempotency key makes repeats safe: the same request is decided once.
        String key = "java-" + UUID.randomUUID();
        Answer asked = post("/v1/admissions",
                "{\"campaign\": \"" + campaign + "\", \"request_id\": \"" + key + "\"}");
        // Every decision other than a grant is a denial, also those newer than this program.
        if (asked.status() != 200 || !"grant".equals(asked.field("decision"))) {
            System.out.println("denied: " + asked.json());
            return 1;
        }
        String reservation = "/v1/reservations/" + asked.field("id");
        long launchBy = asked.sentAt() + ms(Long.parseLong(asked.field("launch_within_ms")));
        if (System.nanoTime() - launchBy >= 0) {
            post(reservation + "/end", "{\"outcome\": \"not_launched\"}");
            System.out.println("too late to launch");
            return 1;
        }
        System.out.println("granted " + asked.field("id") + " on " + asked.field("channel"));

        String session = launch(asked.field("channel"));
        Answer launched = post(reservation + "/launched",
                "{\"port_taken\": true, \"session_id\": \"" + session + "\"}");
        talk();

        // The zone time of the end: `now` of the newest answer plus the time since its arrival. It is
        // computed once, before the report is repeated.
        Answer newest = launched.field("now") != null ? launched : asked;
        long endedAt = Long.parseLong(newest.field("now"))
                + (System.nanoTime() - newest.arrivedAt()) / ms(1);
        Answer ended = post(reservation + "/end",
                "{\"outcome\": \"completed\", \"ended_at\": " + endedAt + "}");
        System.out.println("ended: " + ended.field("state"));
        return 0;
    }

    /** Launch the call on your platform here, on this channel only. */
    private String launch(String channel) {
        return "session-on-" + channel;
    }

    /** The call rings and talks here. Renew calls longer than `renew_within_ms`: POST .../renew. */
    private void talk() throws InterruptedException {
        Thread.sleep(100);
    }

    /** Sends a request until it is answered: every request here may be sent twice. */
    private Answer post(String path, String body) throws IOException, InterruptedException {
        for (int tried = 1; ; tried++) {
            try {
                Answer answer = once(path, body);
                if (answer.status() < 500 && answer.status() != 429) {
                    return answer;
                }
                if (tried == TRIES) {
                    throw new IOException(answer.json());
                }
            } catch (IOException lost) {
                if (tried == TRIES) {
                    throw lost;
                }
            }
            Thread.sleep((long) (Math.random() * 200 * (1 << tried)));
        }
    }

    private Answer once(String path, String body) throws IOException, InterruptedException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(service + path))
                .timeout(Duration.ofSeconds(5))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body));
        String token = System.getenv("ADMISSION_TOKEN");
        if (token != null) {
            request.header("Authorization", "Bearer " + token);
        }
        long sentAt = System.nanoTime();
        HttpResponse<String> answer =
                http.send(request.build(), HttpResponse.BodyHandlers.ofString());
        return new Answer(answer.statusCode(), answer.body(), sentAt, System.nanoTime());
    }

    private static long ms(long milliseconds) {
        return milliseconds * 1_000_000;
    }
}

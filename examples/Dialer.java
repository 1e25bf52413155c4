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
 * Asks, launches, reports: one call. Java 17, no dependency.
 *
 * <pre>
 *     java examples/Dialer.java http://127.0.0.1:8080 collections
 * </pre>
 *
 * The environment variable ADMISSION_TOKEN has the token, where one is needed. Exit codes: 0 the
 * call was granted and reported, 1 it was denied, 2 usage, 3 nobody answered (then: do not launch).
 */
public final class Dialer {
    private static final int TRIES = 4;
    private final HttpClient http =
            HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(2)).build();
    private final String service;

    private Dialer(String service) {
        this.service = service;
    }

    /** An answer, when it was asked for and when it arrived, by our own stopwatch (ns). */
    private record Answer(int status, String json, long sentAt, long arrivedAt) {
        /** A number or a word of the answer's JSON, its first by that name; null: not there. */
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
        } catch (IOException nobody) {
            System.err.println("nobody answers: " + nobody);
            System.exit(3);
        }
    }

    private int dial(String campaign) throws IOException, InterruptedException {
        // The key makes it safe to ask again: the same request is decided once.
        String key = "java-" + UUID.randomUUID();
        Answer asked = post("/v1/admissions",
                "{\"campaign\": \"" + campaign + "\", \"request_id\": \"" + key + "\"}");
        // Whatever is not a grant is a deny: also words that are newer than this program.
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

        // When it ended, in the zone's time: `now` of the newest answer and what our stopwatch has
        // counted since that answer arrived. Noted once, before it is sent again and again.
        Answer newest = launched.field("now") != null ? launched : asked;
        long endedAt = Long.parseLong(newest.field("now"))
                + (System.nanoTime() - newest.arrivedAt()) / ms(1);
        Answer ended = post(reservation + "/end",
                "{\"outcome\": \"completed\", \"ended_at\": " + endedAt + "}");
        System.out.println("ended: " + ended.field("state"));
        return 0;
    }

    /** Here your platform launches the call, on that channel and no other. */
    private String launch(String channel) {
        return "session-on-" + channel;
    }

    /** Here it rings and talks. Calls longer than `renew_within_ms` are renewed: POST .../renew. */
    private void talk() throws InterruptedException {
        Thread.sleep(100);
    }

    /** Sends it until it is answered: every request here may be sent twice. */
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

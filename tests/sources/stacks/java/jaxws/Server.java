import jakarta.jws.WebService;
import jakarta.xml.ws.Endpoint;
import java.net.ServerSocket;

/** Serves the portal; its WSDL imports that of its interface, which has another namespace. */
@WebService(
    endpointInterface = "Portal", targetNamespace = "urn:server", serviceName = "PortalService")
public class Server implements Portal {
    public static void main(String[] given) throws Exception {
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        Endpoint.publish("http://127.0.0.1:" + port + "/portal", new Server());
        System.out.println("ready " + port);
        System.in.read(); // until the test goes
        System.exit(0);
    }

    @Override
    public Counts queryResources(String zone, int unused) {
        Counts counts = new Counts();
        boolean isWest = "West".equals(zone);
        counts.totalRes_returned = isWest ? 30 : 60;
        counts.unusedSIP_returned = isWest ? 10 : 40;
        counts.unusedH323_returned = 20;
        return counts;
    }

    @Override
    public Launched launchVXML(
            String to, String from, String application, String url, String parameters,
            String uui, int timeoutS) {
        if (application.endsWith("fault")) {
            throw new IllegalStateException("no port");
        }
        Launched launched = new Launched();
        launched.sessionID_returned = "vxml " + to;
        return launched;
    }
}

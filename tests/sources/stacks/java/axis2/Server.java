import java.net.ServerSocket;
import org.apache.axis2.context.ConfigurationContext;
import org.apache.axis2.context.ConfigurationContextFactory;
import org.apache.axis2.transport.http.SimpleHTTPServer;

/** Serves the services of a repository's folder. Argument: the folder. */
public class Server {
    public static void main(String[] given) throws Exception {
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        ConfigurationContext context =
            ConfigurationContextFactory.createConfigurationContextFromFileSystem(given[0], null);
        new SimpleHTTPServer(context, port).start();
        System.out.println("ready " + port);
        System.in.read(); // until the test goes
        System.exit(0);
    }
}
